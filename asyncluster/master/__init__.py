"""The master: the one service that owns the queue and the book of nodes."""
