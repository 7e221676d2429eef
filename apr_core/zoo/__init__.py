"""Models by name: checkpoints of this project, and models of a person's own."""
