"""Who may read the metrics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

# Headers by which a proxy says for whom it asks.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
_SCHEME = "bearer "


def may_read(
    *,
    authorization: str,
    peer: str,
    forwarded: bool,
    tokens: Sequence[str],
    networks: Sequence[IPv4Network | IPv6Network],
) -> bool:
    """Whoever sends one of the tokens, or asks from one of the networks.

    `peer` is the other end of the socket. Where a proxy stands between (`forwarded`) that is the proxy, which may pass
    on anybody's request: then only a token counts.
    """
    if _has_token(authorization, tokens):
        return True
    return not forwarded and _is_in(peer, networks)


def _has_token(authorization: str, tokens: Sequence[str]) -> bool:
    if not authorization.lower().startswith(_SCHEME):
        return False
    given = authorization[len(_SCHEME) :].strip().encode()
    # All of them are compared, each in constant time: how long it takes tells nothing.
    return True in [compare_digest(given, token.encode()) for token in tokens]


def _is_in(peer: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        # A Unix socket has no address.
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
