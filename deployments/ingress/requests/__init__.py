"""From a request's bytes to a checked job: bodies, fields, media references."""
