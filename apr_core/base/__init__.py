"""What every room builds on: shapes and errors, random numbers, files, paths, hardware, version."""
