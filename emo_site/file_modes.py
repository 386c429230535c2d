"""Which files others on this machine can get at."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path


def exposed(paths: Iterable[Path]) -> list[str]:
    """Those that everybody on the machine can read or that others than the owner can change, with mode and why.

    What lies in a folder that others may not enter is safe whatever its own mode. Files that don't exist are left out.
    Access lists (ACLs) beyond the mode are not looked at.
    """
    return [f"{path} ({mode:04o}, {why})" for path in paths if (mode := _mode(path)) is not None if (why := _why(path))]


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except PermissionError:
        # Not even this process gets there.
        return None


def _why(path: Path) -> str:
    mode = _mode(path) or 0
    reading = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if not all((_mode(parent) or 0) & stat.S_IXOTH for parent in path.absolute().parents):
        return ""
    if mode & stat.S_IWOTH:
        return "everybody may change it"
    return "everybody may read it" if mode & reading else ""
