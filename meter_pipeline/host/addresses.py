"""Addresses that a server of this package listens on."""

from __future__ import annotations

import errno
import os
import socket

from meter_pipeline.errors import MeterPipelineError


class AddressError(MeterPipelineError):
    """An address cannot be listened on; the message is one line that names the option to change."""


def open_listener(host: str, port: int, *, port_option: str = "--port") -> socket.socket:
    """Returns a socket that listens on an address; port 0 chooses a free one.

    Args:
        host: A name or an IPv4 or IPv6 address of this machine.
        port: 0 to 65535.
        port_option: The option to change when the port is the obstacle.

    Raises:
        AddressError: The port is in use or reserved, or the host is not an address of this machine.
    """
    try:
        # `bind` raises a bare TypeError for a name that has no form in ASCII; encoding it here says why.
        host.encode("idna")
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except UnicodeError:
        reason, way_out = "not a valid host name", "choose another --host"
    except OSError as error:
        port_is_wrong = error.errno in (errno.EADDRINUSE, errno.EACCES)
        way_out = f"choose another {port_option}" if port_is_wrong else "choose another --host"
        # The error's own text repeats the address. A failed look-up of a name has a negative number.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        reason = reason.partition(" (while ")[0]
    raise AddressError(f"cannot listen on {host}:{port}: {reason}; {way_out}")
