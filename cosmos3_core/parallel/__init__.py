"""Parallelism, applied to the model from outside: the modules in `model` do not depend on it."""
