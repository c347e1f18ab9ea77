"""What `/openapi.json` and `/docs` say of the routes."""
