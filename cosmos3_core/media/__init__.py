"""Convert stills, clips and sound between files and numpy arrays."""
