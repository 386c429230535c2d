"""Compares a report with the file that says, to the letter, how it reads."""

from __future__ import annotations

import re
from difflib import unified_diff
from html.parser import HTMLParser
from pathlib import Path

FOLDER = Path(__file__).parent / "written"
_BLOCKS = {"p", "div", "section", "h1", "h2", "h3", "tr", "li", "dt", "dd", "caption", "title", "summary", "aside"}
_CELLS = {"td", "th"}
_UNSEEN = {"style", "script", "svg"}


def assert_as_written(name: str, text: str) -> None:
    """Where the file is not there yet it is written, for a person to read, and the test fails."""
    path = FOLDER / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        raise AssertionError(f"{path} was not there: it is now. Read it, whether all of it is so.")
    written = path.read_text(encoding="utf-8")
    differences = unified_diff(written.splitlines(), text.splitlines(), "as written", "as it is", lineterm="", n=1)
    assert text == written, "\n".join(differences)


def text_of(html: str) -> str:
    """What a person reads of a page: a line for each block and row, cells apart by a bar."""
    reader = _Reader()
    reader.feed(html)
    lines = (re.sub(r"\s+", " ", line).strip(" |") for line in "".join(reader.parts).splitlines())
    return "\n".join(line for line in lines if line) + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unseen += tag in _UNSEEN
        self.parts.append("\n" if tag in _BLOCKS else " | " if tag in _CELLS else " ")

    def handle_endtag(self, tag: str) -> None:
        self.unseen -= tag in _UNSEEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.parts.append(re.sub(r"\s+", " ", data))
