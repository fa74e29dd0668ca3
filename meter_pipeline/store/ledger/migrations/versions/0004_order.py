"""Text sorts by its characters, whatever the locale of the database: jobs of one time are in the order of their ids."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# A schema may have tables of other programs, which stay as they are.
TABLES = (
    *("facts", "strategies", "schedules", "versions", "jobs", "change_sets"),
    *("peeks", "job_comparisons", "walks", "intents", "syncs"),
)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    inspector = sa.inspect(connection)
    for table in TABLES:
        texts = [column for column in inspector.get_columns(table) if isinstance(column["type"], sa.String)]
        types = (f'ALTER COLUMN "{c["name"]}" TYPE {c["type"].compile()} COLLATE "C"' for c in texts)
        # One statement a table, so that its indexes are built once.
        op.execute(f"ALTER TABLE {table} {', '.join(types)}")
