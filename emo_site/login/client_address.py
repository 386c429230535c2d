"""From which address a request comes, of which only what trusted proxies say is believed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Whoever has one address of IPv6 usually has all of its network.
_IPV6_PREFIX = 64
# The other end of a Unix socket has no address, and is on this machine.
_THIS_MACHINE = "127.0.0.1"


def client_address(*, peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address that asks, of IPv6 its network; empty where a trusted proxy does not tell it.

    `peer` is the other end of the socket, `forwarded_for` the header X-Forwarded-For. Each trusted proxy has added the
    address that it saw at the end: read from there, the first that is no trusted proxy is the client. What stands
    before it anybody may have written.
    """
    here = _address(peer or _THIS_MACHINE)
    if here is None or not _is_trusted(here, trusted):
        return _shown(here)
    for said in reversed(forwarded_for.split(",")):
        address = _address(said)
        if address is None or not _is_trusted(address, trusted):
            return _shown(address)
    return ""


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _shown(address: Address | None) -> str:
    if address is None:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
