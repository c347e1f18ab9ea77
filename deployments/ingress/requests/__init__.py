"""From a request's bytes to a job: bodies, fields, media references, checks."""
