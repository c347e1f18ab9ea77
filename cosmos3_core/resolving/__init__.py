"""From a request, a checkpoint's facts and its media to concrete numbers."""
