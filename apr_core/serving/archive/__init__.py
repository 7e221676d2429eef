"""Runs that outlive the server."""
