"""A job's `deaths` are called `interruptions`."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Rename the column; what it holds stays as it is."""
    op.alter_column("jobs", "deaths", new_column_name="interruptions")
