"""What a model does with each class, and where it looks."""
