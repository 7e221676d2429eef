"""Commands that measure the engine, for the command line of a checkout."""
