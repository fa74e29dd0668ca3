"""`inbox`: receives Meter's webhooks."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from meter_pipeline.commands.console import print_line
from meter_pipeline.config.settings import Settings


def inbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 8799,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Environment variable that holds the webhook secret, or several separated by commas; by default "
            "METER_WEBHOOK_SECRET, from the environment or .env.",
        ),
    ] = None,
) -> None:
    """Receive Meter's webhooks and keep the ids of the reported jobs for the next sync."""
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.webhooks.receiver import serve

    settings = Settings.from_env()
    if secret_env and not os.environ.get(secret_env):
        raise typer.BadParameter(f"--secret-env: the environment variable {secret_env} is not set, or empty")
    configured = os.environ.get(secret_env) if secret_env else settings.webhook_secret
    secrets = [secret.strip() for secret in (configured or "").split(",")]
    serve(Inbox(settings.inbox), secrets, host=host, port=port, echo=print_line)
