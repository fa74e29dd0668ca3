"""`inbox`: receives Meter's webhooks."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from meter_pipeline.commands.console import say
from meter_pipeline.config.settings import Settings


def inbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8799,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE", help="Variable with the webhook secret(s); METER_WEBHOOK_SECRET, also from .env."
        ),
    ] = None,
) -> None:
    """Take Meter's webhooks, for the next sync to look into."""
    from meter_pipeline.webhooks.inbox import Inbox
    from meter_pipeline.webhooks.receiver import serve

    settings = Settings.from_env()
    if secret_env and not os.environ.get(secret_env):
        raise typer.BadParameter(f"--secret-env: there is no variable {secret_env}, or it is empty")
    told = os.environ.get(secret_env) if secret_env else settings.webhook_secret
    secrets = [secret.strip() for secret in (told or "").split(",")]
    serve(Inbox(settings.inbox), secrets, host=host, port=port, echo=say)
