"""Alembic's environment: runs the migrations on the connection that `connection.migrate` passes."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
