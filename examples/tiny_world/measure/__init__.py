"""Reads what a clip of the tiny world shows, from its pixels and its samples alone.

Generated clips are blurred, compressed and noisy, so every reading has a confidence, or is None where there is nothing
to read. `clip` reads everything at once and `compare` holds it against the facts of a scene.
"""
