"""Only trusted proxies say from which address a request comes."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from emo_site.login.client_address import client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        # Whoever is no proxy of ours may say what they like.
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        # A proxy adds at the end; what stands before it the client wrote.
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        # A Unix socket is this machine's.
        ("", "203.0.113.7", "203.0.113.7"),
        # Of IPv6 the network: whoever has one address has all of it.
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        # It does not tell: better none than everybody's.
        ("10.0.0.1", "", ""),
        ("10.0.0.1", "unknown", ""),
        ("10.0.0.1", "203.0.113.7, garbage", ""),
        ("10.0.0.1", "10.0.0.2", ""),
    ],
)
def test_the_address_is_the_last_one_that_no_trusted_proxy_has(peer: str, forwarded_for: str, address: str) -> None:
    assert client_address(peer=peer, forwarded_for=forwarded_for, trusted=TRUSTED) == address


def test_nobody_is_trusted_unasked() -> None:
    assert client_address(peer="127.0.0.1", forwarded_for="203.0.113.7", trusted=[]) == "127.0.0.1"
