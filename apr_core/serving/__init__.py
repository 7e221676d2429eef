"""The attack service: requests, batched steps, limits, the archive of runs, the gallery."""
