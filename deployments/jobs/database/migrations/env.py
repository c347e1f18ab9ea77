"""What Alembic runs around the versions: on the connection that `database.migrate` hands it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
