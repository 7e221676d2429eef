"""Defence in depth: checks, calibration, redundancy and abstention around a model."""
