"""Break the attack service in every way it is to survive: `python -m benchmarks.faults`."""
