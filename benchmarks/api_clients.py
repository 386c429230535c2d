"""Programs that stage orders over HTTP, as many threads of one process, each with a token and a connection of its own.

    python -m benchmarks.api_clients --port 8000 --pause 1 --seconds 15 < tokens

Tokens come in by standard input, one a line and client. With `--pause` each client stages an order every so many
seconds, the clients one after the other; without, each its next order as soon as it is answered. Prints one JSON
document: the seconds that each order took, from the request's first byte to the answer's last, and of all of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import threading
import time
import uuid
from typing import Any

SYMBOLS = 200
# Seconds, of one answer.
TOO_LONG = 30.0


def order(client: int, number: int) -> dict[str, Any]:
    """One that every rule lets through; no two of a second are equal."""
    return {
        "symbol": f"S{(client * 37 + number) % SYMBOLS:03}",
        "side": "buy",
        "order_type": "limit",
        "quantity": str(1 + client),
        "price": f"{100 + number % 500 / 1000:.3f}",
        "strategy": f"strategy {client % 12}",
        "client_order_id": uuid.uuid4().hex,
    }


class Client:
    def __init__(self, number: int, token: str, port: int) -> None:
        self.number, self.token = number, token
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TOO_LONG)
        # Not where the run before began: the same order within a second is a duplicate.
        self.first = random.randrange(100_000)
        self.took: list[float] = []
        self.trouble = ""

    def run(self, *, begin: float, end: float, pause: float) -> None:
        try:
            at = begin
            while (now := time.perf_counter()) < end:
                if at > now:
                    time.sleep(at - now)
                self._stage(self.first + len(self.took))
                at = at + pause if pause else 0.0
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.trouble = f"client {self.number}: {type(error).__name__}: {error}"
        finally:
            self.connection.close()

    def _stage(self, number: int) -> None:
        body = json.dumps(order(self.number, number))
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        started = time.perf_counter()
        self.connection.request("POST", "/api/v1/orders", body, headers)
        response = self.connection.getresponse()
        content = response.read()
        self.took.append(time.perf_counter() - started)
        if response.status != 201 or json.loads(content)["status"] != "pending_review":
            raise ValueError(f"{response.status}: {content[:500].decode()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    clients = [Client(number, line.strip(), arguments.port) for number, line in enumerate(sys.stdin)]
    begin = time.perf_counter() + 0.2
    threads = [
        threading.Thread(
            target=client.run,
            kwargs={
                "begin": begin + arguments.pause * client.number / len(clients),
                "end": begin + arguments.seconds,
                "pause": arguments.pause,
            },
        )
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    if troubles := [client.trouble for client in clients if client.trouble]:
        print("\n".join(troubles[:5]), file=sys.stderr)
        return 1
    print(json.dumps({"seconds": seconds, "took": [each for client in clients for each in client.took]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
