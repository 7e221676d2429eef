"""What can be proved of a picture: the seal, the masks, the truth map."""
