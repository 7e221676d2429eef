"""Certificates: what no edit of a pixel can change, by masking and by checks of the model."""
