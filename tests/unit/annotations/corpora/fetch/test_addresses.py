import socket
from typing import Any

import pytest

from annotations.corpora.fetch.addresses import RefusedAddress, check_address, connect, resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1",
        "fe80::1%lo", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
        "5f00::1", "3fff::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    with pytest.raises(RefusedAddress):
        check_address(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808", "172.32.0.1"],
)
def test_public_addresses_are_not(address: str) -> None:
    check_address(address)


def test_loopback_is_for_whoever_asks_for_it() -> None:
    check_address("127.0.0.1", allow_loopback=True)
    check_address("::ffff:127.0.0.1", allow_loopback=True)
    with pytest.raises(RefusedAddress):
        check_address("10.0.0.1", allow_loopback=True)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "017700000001"])
def test_other_ways_to_write_loopback_are_seen_through(host: str) -> None:
    with pytest.raises(RefusedAddress):
        connect(host, 80, timeout_s=1, resolve=resolve, allow_loopback=False)


def test_a_name_with_one_private_address_is_refused_before_any_connection() -> None:
    def mixed(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        return [(socket.AF_INET, ("192.0.2.1", port)), (socket.AF_INET, ("10.0.0.1", port))]

    with pytest.raises(RefusedAddress):
        connect("mixed.example", 80, timeout_s=1, resolve=mixed, allow_loopback=False)


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def two(host: str, asked: int) -> list[tuple[int, tuple[Any, ...]]]:
            return [(socket.AF_INET, ("127.0.0.2", asked)), (socket.AF_INET, ("127.0.0.1", asked))]

        with connect("two.example", port, timeout_s=1, resolve=two, allow_loopback=True) as made:
            assert made.getpeername() == ("127.0.0.1", port)
    with pytest.raises(OSError, match="refused"):
        connect("two.example", port, timeout_s=1, resolve=two, allow_loopback=True)
    with pytest.raises(OSError, match="no address"):
        connect("none.example", 1, timeout_s=1, resolve=lambda *_: [], allow_loopback=True)
