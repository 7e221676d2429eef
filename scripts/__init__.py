"""Commands of the project itself, not of the engine."""
