"""Attacks as init, ask and tell, and what runs them."""
