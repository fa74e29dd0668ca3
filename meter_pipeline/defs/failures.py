"""Errors of the pipeline as Dagster failures: one line, and a retry only where trying again can help."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from meter_pipeline.config.meter_yaml import ConfigError
from meter_pipeline.config.settings import SettingsError
from meter_pipeline.text.printable import PrintableLog, make_printable, printable


@contextmanager
def told_in_one_line(log: logging.Logger) -> Iterator[None]:
    """Turns what a user can mend, or what passes by itself, into `dg.Failure`; no text reaches a terminal unescaped.

    Args:
        log: Dagster's log of the step: whatever is written to it from now on, events included, is made printable.

    Raises:
        dg.Failure: For an error of the settings, the API or the store. No retry for a wrong key, a refused request, or
            a store that cannot be used; a retry for an API that does not answer.
    """
    # Imported here: definitions must not pay for the HTTP client and the engine.
    from meter_pipeline.api.errors import MeterBadResponse, MeterConnectionError, MeterError, MeterRateLimited
    from meter_pipeline.api.errors import MeterServerError as ServerError
    from meter_pipeline.store.errors import StoreError
    from meter_pipeline.sync import SelectionError

    passing = (MeterConnectionError, MeterRateLimited, ServerError, MeterBadResponse)
    log.addFilter(PrintableLog())
    try:
        yield
    except (SettingsError, ConfigError, StoreError, SelectionError, MeterError) as error:
        raise make_failure(str(error), retry=isinstance(error, passing)) from None
    except Exception as error:
        # A defect of ours: Dagster prints all of it, with whatever values the message quotes.
        make_printable(error)
        raise


def make_failure(reason: str, *, retry: bool) -> dg.Failure:
    """A failure that says why in one printable line."""
    return dg.Failure(" ".join(printable(reason).split()), allow_retries=retry)
