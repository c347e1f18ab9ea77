"""A generation as a job: accepted, kept, driven to its end, told of."""
