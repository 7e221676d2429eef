"""Playing by hand: a person in the search's place."""
