"""Training: the loop, its batches, resumable jobs and their service."""
