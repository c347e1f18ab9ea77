"""The serving side: today the command line; Ray Serve deployments of the stages in `cosmos3_core` go here."""
