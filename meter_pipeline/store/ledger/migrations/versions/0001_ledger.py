"""The ledger as it began."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def upgrade() -> None:
    op.create_table(
        "facts", sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "strategies",
        sa.Column("strategy_id", sa.String, primary_key=True),
        sa.Column("slug", sa.String, nullable=False, unique=True),
        *_texts("name", "url", "description", "scraper_type", "created_at", "updated_at"),
        sa.Column("first_seen_at", sa.String, nullable=False),
        *_texts("deleted_at"),
        sa.Column("fields", sa.Text, nullable=False, server_default="[]"),
        sa.Column("dirty", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.String, primary_key=True),
        *_texts("strategy_id", "url", "urls", "schedule_type"),
        sa.Column("interval_seconds", sa.Integer),
        *_texts("cron_expression"),
        sa.Column("enabled", sa.Boolean),
        *_texts("webhook_url", "next_run_at", "last_run_at", "created_at", "updated_at"),
        sa.Column("first_seen_at", sa.String, nullable=False),
        *_texts("deleted_at"),
    )
    op.create_table(
        "versions",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("seen_at", sa.String, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("strategy_id", sa.String, nullable=False),
        *_texts("schedule_id", "batch_id", "url", "parameters", "status"),
        sa.Column("state", sa.String, nullable=False),
        *_texts("reason"),
        sa.Column("item_count", sa.BigInteger),
        sa.Column("items", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        *_texts("content_hash", "structural_signature", "error", "created_at", "started_at", "completed_at"),
        sa.Column("known_at", sa.String, nullable=False),
        *_texts("loaded_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        *_texts("retry_at"),
    )
    op.create_index("jobs_by_strategy", "jobs", ["strategy_id", "state"])
    op.create_index("jobs_by_state", "jobs", ["state"])
    op.create_table(
        "change_sets",
        sa.Column("schedule_id", sa.String, primary_key=True),
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("first_seen_at", sa.String, nullable=False),
        sa.Column("item_count", sa.BigInteger),
        *_texts("acknowledged_at"),
    )
    op.create_table("walks", sa.Column("scope", sa.String, primary_key=True), *_texts("complete_to", "walked_at"))
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("opened_at", sa.String, nullable=False),
        *_texts("resolved_at", "resource_id"),
    )
    op.create_index("intents_by_fingerprint", "intents", ["kind", "fingerprint"])
    op.create_table(
        "syncs",
        sa.Column("sync_id", sa.String, primary_key=True),
        sa.Column("started_at", sa.String, nullable=False),
        *_texts("finished_at", "report"),
    )
