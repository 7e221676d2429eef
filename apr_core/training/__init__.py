"""One training loop, its batches and its recipes."""
