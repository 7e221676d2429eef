"""Certified robustness to one-pixel edits, by lattice masking."""
