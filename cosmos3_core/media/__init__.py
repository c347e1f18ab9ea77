"""Pictures, clips and sound between files and numpy arrays."""
