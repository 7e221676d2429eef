"""Telling: what the records say, as tables, claims and ablations."""
