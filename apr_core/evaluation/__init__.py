"""Rates that hold up: which images, what is counted, and with what interval."""
