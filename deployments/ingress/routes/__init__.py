"""The handlers of each route, one module a topic."""
