"""Make a tiny checkpoint with random weights in the published layout."""
