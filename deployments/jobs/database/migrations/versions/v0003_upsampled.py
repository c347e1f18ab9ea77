"""The structured prompt that a Reasoner wrote for a job."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column that older jobs leave empty."""
    op.add_column("jobs", sa.Column("upsampled", sa.JSON))
