"""The serving graph: Ray Serve deployments of the stages in `cosmos3_core`, and the command line."""
