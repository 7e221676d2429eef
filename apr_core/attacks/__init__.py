"""Attacks: one-pixel differential evolution, and the ladder of sparse and dense attacks."""
