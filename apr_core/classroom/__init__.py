"""A class: what the teacher planned, who sits in it, the challenge board, and the code to join."""
