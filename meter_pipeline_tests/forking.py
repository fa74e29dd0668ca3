"""Processes of a test, forked from a server that has imported what they run, so that each costs milliseconds."""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
_imported: list[str] = []


def import_before_forks(module: str) -> None:
    """Adds a module to those that the server imports; it has to be called before the first process starts.

    A session has one server, and `set_forkserver_preload` replaces its list: the last file to call it would win.
    """
    _imported.append(module)
    PROCESSES.set_forkserver_preload(_imported)
