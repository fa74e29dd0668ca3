"""The root of the errors that a user of this package can meet."""

from __future__ import annotations


class MeterPipelineError(Exception):
    """Something that a user can do something about; every kind of it derives from this class.

    The message is one line that names the thing, the reason and the way out. The command line shows that line and exits
    with 2; any other exception is a fault of this program, and is shown with its traceback.
    """
