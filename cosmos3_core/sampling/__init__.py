"""Noise levels, the solver and guidance as pure functions over a small state that can be stepped, saved and resumed."""
