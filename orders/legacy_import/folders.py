"""Finds the files under the given paths. Reads directories, no contents; follows no link out of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orders.legacy_import.report import printable

SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file, by the name it is reported under. `skipped` or `refused` say why it is not to be opened."""

    path: Path
    name: str
    skipped: str = ""
    refused: str = ""


def find(paths: Iterable[Path]) -> list[Found]:
    """Every file once, also where the paths overlap, sorted by its path."""
    found: dict[Path, Found] = {}
    for path in paths:
        for item in _under(path):
            found.setdefault(item.path.absolute(), item)
    return [found[path] for path in sorted(found)]


def _under(path: Path) -> Iterator[Found]:
    if not path.exists():
        yield Found(path=path, name=_shown(path), refused="does not exist")
    elif path.is_dir():
        yield from _walk(path)
    else:
        yield _judged(path, _shown(Path(path.name)), root=None)


def _walk(root: Path) -> Iterator[Found]:
    problems: list[OSError] = []
    for folder, names_of_folders, names in os.walk(root, onerror=problems.append):
        here = Path(folder)
        for name in sorted(names_of_folders):
            if reason := _folder_left_out(here / name):
                names_of_folders.remove(name)
                yield Found(path=here / name, name=_relative(here / name, root), skipped=reason)
        for name in sorted(names):
            yield _judged(here / name, _relative(here / name, root), root=root)
    for error in problems:
        unread = Path(error.filename)
        yield Found(path=unread, name=_relative(unread, root), refused=f"the folder can't be read: {error.strerror}")


def _folder_left_out(path: Path) -> str:
    if path.is_symlink():
        return "a link to a folder is not followed"
    return "a hidden folder" if path.name.startswith(".") else ""


def _judged(path: Path, name: str, *, root: Path | None) -> Found:
    if reason := _not_data(path):
        return Found(path=path, name=name, skipped=reason)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Found(path=path, name=name, refused=f"can't be read: {error.strerror}")
    # Opening a pipe would wait for somebody to write.
    if not stat.S_ISREG(mode):
        return Found(path=path, name=name, refused="not a regular file")
    if root is not None and path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return Found(path=path, name=name, refused="a link that leads out of the folder is not followed")
    return Found(path=path, name=name)


def _not_data(path: Path) -> str:
    if path.name.startswith("."):
        return "a hidden file"
    if path.suffix.lower() == ".md":
        return "a text for people"
    return "a side file of the database beside it" if path.name.endswith(SIDE_FILES) else ""


def _relative(path: Path, root: Path) -> str:
    return _shown(path.relative_to(root))


def _shown(path: Path) -> str:
    """Bytes that are not UTF-8 and control characters are escaped, so that the name can be stored and printed."""
    return printable(os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace"))
