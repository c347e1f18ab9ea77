"""The HTTP API: routes by topic. It validates requests, calls the other deployments and streams their answers."""
