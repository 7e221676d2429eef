"""Evaluation: attack success rates and certified accuracy with confidence intervals, as records."""
