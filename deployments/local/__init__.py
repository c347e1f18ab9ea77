"""A recipe as a private graph on this machine."""
