"""Takes secrets out of a text: those that are known, and whatever stands where a secret stands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
# Shorter ones are parts of ordinary words: with the password "emo" in mind nothing would be left of a log. They are
# masked where a secret stands all the same.
SHORTEST_KNOWN = 6
# What nests deeper is told as text.
_DEEPEST = 6

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|\bpwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|audit[_-]?(?:old[_-]?)?key"
    r"|backup[_-]?key|session[_-]?(?:id|key)|csrf|credential|authorization|cookie)"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
# Bounded on both sides of the name: a word of ten thousand letters must not be looked at ten thousand times.
_WORD = r"(?<![\w-])[\w.-]{0,64}?"
# JSON inside of JSON has its quotes escaped.
_QUOTED = r"\\+\"[^\"\\]*\\+\"|\"(?:\\.|[^\"\\])*\"|\\+'[^'\\]*\\+'|'(?:\\.|[^'\\])*'"

# Words of which one is in whatever the pattern finds (in small letters), what stands in a text, what is left of it.
_PLACES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (
        ("-----begin ",),
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S),
        MASK,
    ),
    (("age-secret-key-",), re.compile(r"AGE-SECRET-KEY-[A-Z0-9-]+", re.IGNORECASE), MASK),
    # Up to the last @ of the word: a password may hold one that nobody has quoted.
    (
        ("://",),
        re.compile(r"([a-z][a-z0-9+.-]{0,32}://[^\s:/?#@]{0,128}):[^\s]*@", re.IGNORECASE),
        rf"\1:{MASK}@",
    ),
    # Headers, to the end of the line: nothing inside them ends a cookie for sure.
    (
        ("cookie", "authorization"),
        re.compile(
            r"((?<![\w-])(?:http[_-])?(?:set-cookie|cookie|(?:proxy[_-])?authorization)\\*[\"']?\s*[:=]\s*)[^\r\n]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # A token of the HTTP API: what it begins with is told, which finds it in the admin.
    (("emo_",), re.compile(r"(\bemo_[0-9a-f]{8}_)[A-Za-z0-9_-]{20,}"), rf"\1{MASK}"),
    (("bearer",), re.compile(r"\b(bearer\s+)[^\s\"',;]+", re.IGNORECASE), rf"\1{MASK}"),
    # Base64 has a capital or a digit somewhere, which tells it from a "basic strategy".
    (
        ("basic",),
        re.compile(r"\b((?i:basic)\s+)(?=[a-z+/]*[A-Z0-9])[A-Za-z0-9+/]{8,}={0,2}"),
        rf"\1{MASK}",
    ),
    # password=…, "token": "…", (session_key)=(…), --secret=…
    (
        ("pass", "pwd", "secret", "token", "key", "session", "csrf", "credential", "authorization", "cookie"),
        re.compile(
            rf"({_WORD}{_NAMES}[\w-]{{0,64}}[\])\\\"']{{0,4}}\s*[:=]\s*\(?)(?:{_QUOTED}|[^\s&;,\"'}}\])]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)


class Masker:
    """`secrets` are masked wherever they stand; SHORTEST_KNOWN says which are too short for that."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Long ones first: one may begin another.
        long = sorted({each for each in secrets if len(each) >= SHORTEST_KNOWN}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, long))) if long else None

    def text(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        small = text.lower()
        for words, place, left in _PLACES:
            # Looking for a word is cheap; most lines of a log have none of them.
            if any(word in small for word in words):
                text = place.sub(left, text)
        return text

    def value(self, value: Any, *, name: str = "") -> Any:
        """What may be told of a value that goes by `name`: numbers and None as they are, the rest as masked text."""
        return self._value(value, name, 0)

    def _value(self, value: Any, name: str, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if _SECRET_NAME.search(name):
            return MASK
        if isinstance(value, int | float):
            return value
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {self.text(told(key)): self._value(each, told(key), depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
            return [self._value(each, "", depth + 1) for each in value]
        return self.text(told(value))


def told(value: Any) -> str:
    """As text; a value that can't be told says so instead of losing the line of the log."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  # somebody else's __str__
        return f"<{type(value).__name__} that can't be told: {type(error).__name__}>"
