"""A statement's text without what it is about: literals, parameters and comments removed, lists and blanks collapsed.

What is left are keywords, operators, and names of tables and columns. It follows the lexical rules of PostgreSQL
(manual, 4.1) and SQLite; where they differ, or the text is cut off, more is removed rather than less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

# A statement that inserts thousands of rows is recognised by its beginning.
MOST_READ = 8_000
MOST_TOLD = 400

_TOKEN = re.compile(
    r"""
      (?P<blank>   \s++ | --[^\n]*+ )
    | (?P<comment> /\*.*?(?:\*/|\Z) )
    | (?P<value>
          [eE]'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)                      # E'…' with backslashes
        | (?:[uU]&|[bBxXnN])?'(?:[^']|'')*+(?:'|\Z)                # '…', U&'…', B'…', X'…', N'…'
        | \$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?(?:\$(?P=tag)\$|\Z)      # $tag$…$tag$
        | \.?[0-9][\w.]*+(?:(?<=[eE])[+-][0-9]++)?                 # a number, with whatever sticks to it
        | %\(\w*+\)[a-zA-Z] | %[sbt]                               # %(name)s, %s
        | \?[0-9]*+ | \$\w++ | (?<!\w)[:@]\w++                            # ?, $1, :name, @name
      )
    | (?P<name>    (?:[uU]&)?"(?:[^"]|"")*+(?:"|\Z) | `[^`]*+(?:`|\Z) )
    | (?P<word>    [^\W\d][\w$]*+ )
    | (?P<sign>    :: | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_NAME = re.compile(r"""(["`])[^\W\d]\w{0,62}\1""", re.ASCII)
_SIGNS = frozenset("()[]{},;.+-*/<>=~!@#%^&|:")
_VALUES = re.compile(r"\?(?: ?, ?\?)+")
# Django names every column of a table; what tells a statement from others comes after them.
_COLUMNS = re.compile(r'("\w+"\."\w+")(?:, ?"\w+"\."\w+"){3,}')
_ROWS = re.compile(r"\( ?\? ?\)(?: ?, ?\( ?\? ?\))+")


@lru_cache(maxsize=512)
def normalised(sql: str) -> str:
    """At most MOST_TOLD characters. It never raises: a text that is no SQL comes out as what is left of it."""
    # One of the two engines ends a comment at a carriage return, the other does not.
    read = sql.replace("\r\n", "\n").partition("\r")[0][:MOST_READ]
    text = " ".join("".join(_kept(read)).split())
    text = _COLUMNS.sub(r"\1, …", _ROWS.sub("(?)", _VALUES.sub("?", text)))
    return f"{text[: MOST_TOLD - 1]}…" if len(sql) > MOST_READ or len(text) > MOST_TOLD else text


def _kept(sql: str) -> Iterator[str]:
    for found in _TOKEN.finditer(sql):
        text = found.group()
        match found.lastgroup:
            case "comment" if "/*" in text[2:]:
                # PostgreSQL's comments nest, SQLite's do not: there is no telling where this one ends.
                return
            case "blank" | "comment":
                yield " "
            case "value":
                yield "?"
            case "name":
                yield text if _PLAIN_NAME.fullmatch(text) else '"?"'
            case "sign" if text != "::" and text not in _SIGNS:
                yield "?"
            case _:
                yield text
