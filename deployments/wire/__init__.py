"""What crosses a stage's border: calls, arrays in the object store, media by URI, handles of other deployments."""
