"""Measurements of the engine and of the app: speed, peers and load."""
