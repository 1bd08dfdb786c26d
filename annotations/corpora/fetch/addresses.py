"""Which network addresses may be fetched from: those of the public internet, however they are written."""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address
SocketAddress = tuple[Any, ...]
Resolve = Callable[[str, int], list[tuple[int, SocketAddress]]]
"""Host and port to (address family, address to connect to), best first; OSError when the name is unknown."""

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_UNICAST: Final = IPv6Network("2000::/3")  # all that IANA has given out of IPv6
_ALSO_REFUSED: Final = (
    ip_network("192.0.0.0/24"),  # protocol assignments
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("2002::/16"),  # 6to4: an IPv4 address inside
    ip_network("2001::/32"),  # Teredo: an IPv4 address inside
    ip_network("2001:20::/28"),  # ORCHIDv2
    ip_network("3fff::/20"),  # documentation
)


class RefusedAddress(Exception):
    """An address that may not be fetched from."""


def check_address(text: str, *, allow_loopback: bool = False) -> None:
    """RefusedAddress unless the address belongs to the public internet.

    Refused are private, loopback, link-local, shared, reserved, multicast, documentation and tunnel addresses
    (https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sister); an IPv4 address inside an IPv6
    one is judged as what it is.
    """
    address = _inner(ip_address(text))
    if allow_loopback and address.is_loopback:
        return
    refused = (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or any(address in net for net in _ALSO_REFUSED if net.version == address.version)
        or (isinstance(address, IPv6Address) and address not in _UNICAST)
    )
    if refused:
        raise RefusedAddress(f"{text} is not an address of the public internet")


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def resolve(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """All addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def connect(
    host: str, port: int, *, timeout_s: float, resolve: Resolve, allow_loopback: bool
) -> socket.socket:
    """A connection to the host, at an address that was checked: the name is looked up once, here, and nowhere else.

    RefusedAddress when any of its addresses is refused, so that a name cannot mix them; OSError when none answers.
    """
    addresses = resolve(host, port)
    for _, address in addresses:
        check_address(address[0], allow_loopback=allow_loopback)
    error: OSError = OSError(f"{host} has no address")
    for family, address in addresses:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address)
            return connection
        except OSError as failed:
            connection.close()
            error = failed
    raise error
