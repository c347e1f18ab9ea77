"""Guardrails: what looks at texts and frames, and allows, blocks or blurs them."""
