"""Classroom: lesson plans, seats, a leader board, answers, and the code to join."""
