"""Where a model looks in a picture, and how far the maps of it agree."""
