"""Parallelism, applied to the model from outside: the model file knows nothing of it."""
