"""Decides how far a call can be: one number for each stage, which only grows."""

WAITING = 0  # for the head of the answer
STREAMING = 1
ENDED = 2
