"""Generations as jobs: accepted, kept in a database, run over the stages, watched, and removed."""
