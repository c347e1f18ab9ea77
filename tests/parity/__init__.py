"""Equality with diffusers, transformers and vLLM on the same tiny weights."""
