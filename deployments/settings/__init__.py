"""The typed arguments of the applications: what `args:` in a recipe may say. Serve's own options stay Serve's."""
