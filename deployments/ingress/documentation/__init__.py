"""The documentation of the routes: `/openapi.json` and `/docs`."""
