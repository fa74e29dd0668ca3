"""Looks at unseen changes, and Meter's own comparisons of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def upgrade() -> None:
    op.create_table(
        "peeks",
        sa.Column("schedule_id", sa.String, primary_key=True),
        *_texts("run_at", "tried_at", "peeked_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        *_texts("retry_at", "marking_at", "marking_after"),
    )
    op.create_table(
        "job_comparisons",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("strategy_id", sa.String, nullable=False),
        sa.Column("previous_job_id", sa.String, nullable=False),
        sa.Column("content_hash_match", sa.Boolean),
        sa.Column("structural_match", sa.Boolean),
        sa.Column("semantic_similarity", sa.Float),
        sa.Column("item_count_difference", sa.BigInteger),
        *_texts("structural_changes"),
        sa.Column("compared_at", sa.String, nullable=False),
        sa.Column("agrees", sa.Boolean),
    )
