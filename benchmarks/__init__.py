"""Measures whole syncs, as processes, beside a generic loader and a bare download of the same bodies."""
