"""Decides how far a call can be, one number for each stage, which only grows; and how an answer's body is read."""

WAITING = 0  # for the head of the answer
STREAMING = 1
ENDED = 2

# Of an answer to a call to a model
UNREAD = 0  # its head has not come
ERROR = 1
WHOLE = 2
EVENTS = 3
PLAIN = 4  # passed on as it comes: sound, pictures, files
