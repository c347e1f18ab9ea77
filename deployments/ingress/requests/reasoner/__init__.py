"""Requests for the Reasoner, made safe for vLLM."""
