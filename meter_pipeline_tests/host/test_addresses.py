"""Addresses to listen on: what cannot be listened on is one line with the option that helps."""

from __future__ import annotations

import socket

import pytest

from meter_pipeline.host.addresses import AddressError, open_listener


def test_a_free_port_is_chosen_and_listened_on() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        socket.create_connection(listener.getsockname(), timeout=10).close()


def test_a_port_that_is_in_use_names_its_option() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(AddressError) as raised:
            open_listener("127.0.0.1", port, port_option="--sandbox-port")
    expected = f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --sandbox-port"
    assert str(raised.value) == expected


# An address of another machine, names that nobody has, and names that have no form in ASCII.
@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "nowhere.invalid", "ä..b", "ä" * 80])
def test_a_host_that_is_not_this_machine_is_one_line(host: str) -> None:
    with pytest.raises(AddressError) as raised:
        open_listener(host, 0)
    text = str(raised.value)
    assert text.startswith(f"cannot listen on {host}:0: ")
    assert text.endswith("; choose another --host")
    assert text.count(host) == 1
    assert "\n" not in text
