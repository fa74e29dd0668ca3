"""Who holds a lock that is a row or a table of the target: such a lock stays when its delivery is killed."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

#: A lock that is older was left by a killed delivery; a delivery renews its own while it works.
LEASE, RENEWAL = timedelta(minutes=30), timedelta(minutes=5)


def name_holder() -> str:
    """This machine and process, as a lock names its holder; more may follow after a space."""
    return f"{socket.gethostname()} {os.getpid()}"


def has_ended(holder: str) -> bool:
    """Whether the process that a lock names has ended, as far as this machine can know."""
    host, process = [*holder.split(" "), ""][:2]
    # Windows has no signal that only asks.
    if os.name != "posix" or host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def describe_refusal(shown: str) -> str:
    """The line for a delivery that finds the lock held; `shown` is what messages call the target."""
    return (
        f"{shown}: another delivery is under way, or was cut off on another machine less than "
        f"{LEASE.seconds // 60} minutes ago; deliver again when it has ended"
    )
