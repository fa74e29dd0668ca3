"""Turns the pipeline's errors into Dagster failures: one line, and a retry only where it can help."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from meter_pipeline.config.meter_yaml import ConfigError
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.text.printable import PrintableLog, make_printable, printable


@contextmanager
def fail_in_one_line(log: logging.Logger) -> Iterator[None]:
    """Turns errors that a user can fix, or that pass by themselves, into a one-line `dg.Failure`.

    Args:
        log: Dagster's log of the step. All that is written to it from now on is made printable, events included.

    Raises:
        dg.Failure: An error of the settings, the API or the store. It is retried only if the API did not answer.
    """
    # Imported here: definitions must not pay for the HTTP client and the engine.
    from meter_pipeline.api.errors import MeterBadResponse, MeterConnectionError, MeterError, MeterRateLimited
    from meter_pipeline.api.errors import MeterServerError as ServerError
    from meter_pipeline.store.errors import StoreError
    from meter_pipeline.sync import DecisionError, SelectionError

    temporary = (MeterConnectionError, MeterRateLimited, ServerError, MeterBadResponse)
    log.addFilter(PrintableLog())
    try:
        yield
    except (SettingsError, ConfigError, StoreError, SelectionError, DecisionError, MeterError) as error:
        raise make_failure(str(error), retry=isinstance(error, temporary)) from None
    except Exception as error:
        # A fault of meter-pipeline: Dagster prints the traceback, with the values that its messages quote.
        make_printable(error)
        raise


def make_failure(reason: str, *, retry: bool) -> dg.Failure:
    """Returns a failure with `reason` as one printable line."""
    return dg.Failure(" ".join(printable(reason).split()), allow_retries=retry)
