"""Names that the code and the deploy configs share. It imports nothing, so that either side may read it."""

from __future__ import annotations

FRONT = "front"
"""The name of the application that holds Ingress and Jobs."""
INTAKE_VARIABLE = "COSMOS3_INTAKE"
"""The environment variable from which Serve's HTTP server takes the front's `intake`, as JSON."""
