"""A class: opening it, a seat in it, its challenge board."""
