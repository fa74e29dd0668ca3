"""The change feed: the item key, targets of jobs, repeated keys, releases."""

import sqlalchemy as sa
from alembic import op

from meter_pipeline.store.ledger.tables import target_id

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("strategies", sa.Column("identity", sa.Text))
    op.add_column("jobs", sa.Column("target_id", sa.String))
    op.add_column("jobs", sa.Column("duplicates", sa.BigInteger))
    op.add_column("jobs", sa.Column("released_at", sa.String))
    connection = op.get_bind()
    known = connection.execute(sa.text("SELECT job_id, url, parameters FROM jobs")).all()
    targets = [{"job": job, "target": target_id(url, parameters)} for job, url, parameters in known]
    if targets:
        connection.execute(sa.text("UPDATE jobs SET target_id = :target WHERE job_id = :job"), targets)
    op.create_index("jobs_by_target", "jobs", ["strategy_id", "target_id", "completed_at", "job_id"])
