"""Tries what clients have an answer follow (schemas, expressions, grammars) in processes that may be killed."""
