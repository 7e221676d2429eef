"""Explanations: attention, attribution maps, and their agreement with the truth map."""
