"""Finding out that a port is taken, and by whom."""

import os
import socket

from crashdesk.embedded.ports import command_line, free_port, is_free, port_holder, taken_ports


def test_a_free_port_gives_no_line() -> None:
    port = free_port()
    assert is_free(port)
    assert taken_ports({"web": port}) == []


def test_a_taken_port_names_service_holder_and_way_out() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        lines = taken_ports({"web": 8000, "postgres": port})
    line = next(line for line in lines if str(port) in line)
    assert f"port {port}, needed by postgres, is in use by pid {os.getpid()}" in line
    assert "make demo PORT=8100" in line
    assert "\n" not in line


def test_a_listener_on_every_address_counts() -> None:
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        assert not is_free(sock.getsockname()[1])


def test_an_unused_port_has_no_known_holder() -> None:
    assert port_holder(free_port()) == "an unknown process"


def test_command_lines_are_cut() -> None:
    assert 1 < len(command_line(os.getpid())) <= 80
    assert command_line(2**30) == "?"
