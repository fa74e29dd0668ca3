"""When a job was held by hand: loaded again, it stays held."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    # Text sorts by its characters, as in the other columns.
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column("jobs", sa.Column("held_at", sa.Text(collation=collation)))
