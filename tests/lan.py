"""A network of its own, in which a machine's packets can be made to vanish. Needs root and Linux's name spaces.

Each machine is a network name space; a router between them (one more) forwards, and drops without a word what it is
told to drop: neither side learns anything. Nothing else on the machine is touched: this side has one interface, which
vanishes together with the router.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests import servers

# Addresses that RFC 2544 sets aside for tests of networks.
RANGE = "198.18"


@dataclass
class Machine:
    """A place for processes, with one address."""

    address: str
    holder: int
    lan: Lan
    cut_off: bool = False

    def command(self, command: Sequence[str]) -> list[str]:
        """`command`, to be run on this machine."""
        return ["nsenter", f"--net=/proc/{self.holder}/ns/net", *command]

    def cut(self) -> None:
        """Drop every packet to and from it."""
        if not self.cut_off:
            self.cut_off = True
            self.lan.drop(self.address, "add")

    def restore(self) -> None:
        if self.cut_off:
            self.cut_off = False
            self.lan.drop(self.address, "del")


@dataclass
class Lan:
    """A router, to which machines are attached one after the other."""

    number: int
    router: int
    stack: contextlib.ExitStack
    machines: list[Machine] = field(default_factory=list)

    def attach(self) -> Machine:
        place = len(self.machines) + 1
        holder = self.stack.enter_context(_name_space())
        near, far = (f"{RANGE}.{self.number}.{4 * place + end}" for end in (1, 2))
        _ip(None, f"link add port{place} netns {self.router} type veth peer name eth0 netns {holder}")
        _ip(self.router, f"address add {near}/30 dev port{place}")
        _ip(self.router, f"link set port{place} up")
        _ip(holder, "link set lo up")
        _ip(holder, f"address add {far}/30 dev eth0")
        _ip(holder, "link set eth0 up")
        _ip(holder, f"route add default via {near}")
        self.machines.append(Machine(far, holder, self))
        return self.machines[-1]

    def drop(self, address: str, verb: str) -> None:
        # A rule, unlike a route, also drops what comes from there; before (0) the table of own addresses nothing is.
        for direction in ("to", "from"):
            _ip(self.router, f"rule {verb} {direction} {address} blackhole pref 10")


@contextlib.contextmanager
def network() -> Iterator[Lan]:
    """Raises servers.Unavailable where no such thing can be had."""
    if os.geteuid() != 0:
        raise servers.Unavailable("a network of its own needs root")
    if missing := [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]:
        raise servers.Unavailable(f"a network of its own needs {', '.join(missing)}")
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(_name_space())
        number = _free_number()
        here, there = f"{RANGE}.{number}.1", f"{RANGE}.{number}.2"
        link = f"emo{number}n{os.getpid() % 100000}"
        _ip(None, f"link add {link} type veth peer name uplink netns {router}")
        # It vanishes with the router too, but when is the kernel's affair.
        stack.callback(_remove, link)
        _ip(None, f"address add {here}/30 dev {link}")
        _ip(None, f"link set {link} up")
        _ip(router, f"address add {there}/30 dev uplink")
        _ip(router, "link set uplink up")
        _ip(None, f"route add {RANGE}.{number}.0/24 via {there}")
        # The setting is the name space's own.
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        servers._checked(["nsenter", f"--net=/proc/{router}/ns/net", "sh", "-c", forward])
        yield Lan(number, router, stack)


def _remove(link: str) -> None:
    with contextlib.suppress(servers.Unavailable):
        _ip(None, f"link delete {link}")


@contextlib.contextmanager
def _name_space() -> Iterator[int]:
    """A process that does nothing but keep a network name space alive, and ends with this one, however that ends."""
    command = ["unshare", "--net", "sh", "-c", "echo; exec cat"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if not holder.stdout.readline():
            raise servers.Unavailable("unshare --net: refused")
        yield holder.pid
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def _free_number() -> int:
    shown = subprocess.run(["ip", "-4", "route", "show"], capture_output=True, text=True, check=True).stdout
    free = [number for number in range(256) if f"{RANGE}.{number}." not in shown]
    if not free:
        raise servers.Unavailable(f"no free network in {RANGE}.0.0/16")
    return random.choice(free)


def _ip(name_space: int | None, arguments: str) -> None:
    inside = [] if name_space is None else ["nsenter", f"--net=/proc/{name_space}/ns/net"]
    servers._checked([*inside, "ip", *arguments.split()])
