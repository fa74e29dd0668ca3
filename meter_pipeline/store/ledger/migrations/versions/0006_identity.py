"""What is derived of items by evidence: readings of texts, rejected items, pages compared together."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _text() -> sa.Text:
    """Text that sorts by its characters, as in the other tables."""
    return sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()


def upgrade() -> None:
    op.add_column("strategies", sa.Column("readings", _text()))
    op.add_column("jobs", sa.Column("rejected", sa.Integer))
    op.add_column("jobs", sa.Column("rejection", _text()))
