"""By hand: a person attacks the model in the search's place."""
