"""Playing by hand, and the search in the same place."""
