"""The lesson: eleven minutes on one pixel, as steps; what each says, and what it shows."""
