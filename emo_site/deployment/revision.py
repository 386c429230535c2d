"""Which code this is: the version, and the commit where the code is a git checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

from django.conf import settings


def revision() -> str:
    """ "0.1.0", or "0.1.0 (7508592)" in a checkout whose git can be asked."""
    root = Path(settings.BASE_DIR)
    if not (root / ".git").exists():
        return str(settings.EMO_VERSION)
    try:
        done = subprocess.run(  # noqa: S603  # words of our own, and no shell
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],  # noqa: S607  # the operator's own git
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return str(settings.EMO_VERSION)
    commit = done.stdout.strip()
    return f"{settings.EMO_VERSION} ({commit})" if done.returncode == 0 and commit else str(settings.EMO_VERSION)
