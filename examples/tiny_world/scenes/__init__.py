"""Scenes: what a clip shows, how its shapes move, and how that looks and sounds."""
