"""The manifest of the lake's parts, commits that name what they were built on, and the audit's verdicts."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _sorted_by_characters(table: str) -> None:
    """Text sorts by its characters, as in the other tables."""
    if op.get_bind().dialect.name != "postgresql":
        return
    found = sa.inspect(op.get_bind()).get_columns(table)
    columns = [c for c in found if isinstance(c["type"], sa.String) and c["type"].collation is None]
    types = (f'ALTER COLUMN "{column["name"]}" TYPE {column["type"].compile()} COLLATE "C"' for column in columns)
    op.execute(f"ALTER TABLE {table} {', '.join(types)}")


def upgrade() -> None:
    connection = op.get_bind()
    dirty = connection.execute(sa.text("SELECT slug FROM strategies WHERE dirty")).scalars().all()
    op.add_column("strategies", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("strategies") as strategies:
        strategies.drop_column("dirty")
    # Text sorts by its characters, as in the other columns.
    collation = "C" if connection.dialect.name == "postgresql" else None
    op.add_column("jobs", sa.Column("held_at", sa.Text(collation=collation)))
    op.add_column("jobs", sa.Column("changes", sa.Integer))
    op.add_column("jobs", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("audit", sa.String))
    op.create_index("jobs_by_revision", "jobs", ["revision"])
    op.drop_index("jobs_by_strategy", "jobs")
    op.create_index("jobs_by_strategy", "jobs", ["strategy_id", "state", "completed_at", "job_id"])
    op.execute("UPDATE jobs SET state = 'known' WHERE state = 'landed'")
    op.create_table(
        "parts",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("strategy_id", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.String, nullable=False),
        sa.Column("last_at", sa.String, nullable=False),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("revision_in", sa.BigInteger, nullable=False),
        sa.Column("revision_out", sa.BigInteger),
        sa.Column("left_at", sa.String),
    )
    op.create_index("parts_by_strategy", "parts", ["strategy_id", "revision_out"])
    op.create_index("parts_by_revision_out", "parts", ["revision_out"])
    op.create_table(
        "partitions",
        sa.Column("strategy_id", sa.String, primary_key=True),
        sa.Column("table_name", sa.String, primary_key=True),
        sa.Column("month", sa.String, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "pins",
        sa.Column("pin_id", sa.String, primary_key=True),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("pinned_at", sa.String, nullable=False),
        sa.Column("renewed_at", sa.String, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder_id", sa.String, nullable=False),
        sa.Column("machine", sa.String, nullable=False),
        sa.Column("process_id", sa.BigInteger, nullable=False),
        sa.Column("work", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("renewed_at", sa.String, nullable=False),
        sa.Column("skips", sa.Integer, nullable=False, server_default="0"),
        sa.Column("skipped_version", sa.Integer),
    )
    op.create_table(
        "findings",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("strategy_id", sa.String, nullable=False),
        sa.Column("test", sa.String, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("seen", sa.Float, nullable=False),
        sa.Column("samples", sa.Text, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    for table in ("jobs", "parts", "partitions", "pins", "claims", "findings"):
        _sorted_by_characters(table)
    # The revision was a random mark, and is a number from now on.
    op.execute("DELETE FROM facts WHERE name = 'revision'")
    if dirty:
        # Strategies that a killed load may have left half written: the lake's takeover derives their rows again.
        facts = sa.table("facts", sa.column("name"), sa.column("value"))
        op.bulk_insert(facts, [{"name": "half_written", "value": json.dumps(sorted(dirty))}])
