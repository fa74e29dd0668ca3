"""What is derived of items by evidence: readings of texts, rejected items, pages compared together."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing of the schema has changed yet."""
