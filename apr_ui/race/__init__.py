"""A race: several models, one attack, watched side by side."""
