"""A teller in a process of its own, led line by line: `python -m tests.telling`, orders as JSON on standard input.

An order: {"now": ISO time, "open": [number, …], "recovered": [number, …], "disconnect": true or false}.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")
    django.setup()
    from django.db import connections

    from monitoring.alert_teller import Teller
    from tests.incidents import incident, over

    teller = Teller(jitter=lambda: 0.0)
    for line in sys.stdin:
        order = json.loads(line)
        if order["disconnect"]:
            connections.close_all()
        teller.round(
            open=[incident(number) for number in order["open"]],
            recovered=[over(incident(number)) for number in order["recovered"]],
            now=datetime.fromisoformat(order["now"]),
        )
        teller.settle(timeout=10)
        print("done", flush=True)


if __name__ == "__main__":
    main()
