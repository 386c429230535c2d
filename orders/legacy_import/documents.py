"""Reads YAML and JSON of unknown origin into plain values, and checks a document's signature. Pure.

Numbers come out as int and Decimal, never as float. What a reader could be led astray by is refused: anchors (a few
lines can unfold to gigabytes), names stated twice, NaN, tags, deep nesting, what no database stores.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from orders.legacy_import.fields import unstorable
from orders.legacy_import.report import Unreadable

MAX_DEPTH = 40
# Longer ones are no figures, and Python refuses to print them.
MAX_DIGITS = 40
SIGNATURE_LENGTH = 16


def parse_yaml(content: bytes) -> dict[str, Any]:
    """One mapping. Raises Unreadable, with the line where it is known."""
    loader = _Loader(_decoded(content))
    try:
        document = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark or error.context_mark
        where = f"line {line.line + 1}" if line else ""
        raise Unreadable(f"not YAML: {error.problem or error.context}", where=where) from error
    # ValueError: a number in a base that its digits do not fit.
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(f"not YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()
    return _checked(document)


def parse_json(content: bytes) -> dict[str, Any]:
    """One object. Raises Unreadable, with the line where it is known."""
    text = _decoded(content)
    try:
        document = json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg}", where=f"line {error.lineno}") from error
    except RecursionError as error:
        raise Unreadable(f"nested more than {MAX_DEPTH} levels deep") from error
    return _checked(document)


def json_safe(value: Any) -> Any:
    """The same document as JSON can hold it; decimal numbers and times as text, since they are exact that way."""
    if isinstance(value, Mapping):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | float) else value


def signature_verdict(document: Mapping[str, Any]) -> str:
    """ "valid", "invalid" or "absent". An unkeyed hash: it shows damage and careless changes, not a forger."""
    if "signature" not in document:
        return "absent"
    stated = document["signature"]
    signed = {key: _native(value) for key, value in document.items() if key != "signature"}
    text = json.dumps(signed, sort_keys=True, default=str)
    expected = hashlib.sha256(text.encode()).hexdigest()[:SIGNATURE_LENGTH]
    genuine = isinstance(stated, str) and hmac.compare_digest(stated.encode(), expected.encode())
    return "valid" if genuine else "invalid"


def _native(value: Any) -> Any:
    """As the bot had it when it signed: with binary floats, whose text is part of what is signed."""
    if isinstance(value, Mapping):
        return {key: _native(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_native(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from error


def _checked(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Unreadable("the document must be a mapping of names to values")
    _check(document, "", 0)
    return document


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unreadable(f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Unreadable(f"keys must be text, not {key!r}", field=where)
            _check(key, where, depth)
            _check(item, f"{where}.{key}" if where else key, depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{where}[{position}]", depth + 1)
    elif isinstance(value, str):
        if problem := unstorable(value):
            raise Unreadable(f"{where} contains {problem}", field=where)
    elif not (value is None or isinstance(value, bool | int | Decimal | datetime | date)):
        raise Unreadable(f"{where} holds a {type(value).__name__}, which no order file does", field=where)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Unreadable(f"{key} is stated twice", field=key)
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise Unreadable(f"not JSON: {name} is no number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Unreadable(f"not JSON: a number has more than {MAX_DIGITS} digits")
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        raise Unreadable(f"a number has more than {MAX_DIGITS} digits: {text[:MAX_DIGITS]}…")
    try:
        return Decimal(text.replace("_", ""))
    except InvalidOperation as error:
        raise Unreadable(f"{text} is not a plain decimal number") from error


class _Loader(yaml.SafeLoader):
    """The safe loader without anchors, merges and names stated twice, and with exact numbers."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _at(event, "anchors and aliases are refused")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _at(event, f"nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _at(key, f"keys must be text, not {key.value!r}")
            if key.value in seen:
                raise _at(key, f"{key.value} is stated twice", field=key.value)
            seen.add(key.value)
        return node

    def exact(self, node: yaml.ScalarNode) -> Decimal:
        found = _decimal(str(self.construct_scalar(node)).replace(".inf", "Infinity").replace(".nan", "NaN"))
        if not found.is_finite():
            raise _at(node, f"{node.value} is no number")
        return found

    def moment(self, node: yaml.ScalarNode) -> date:
        try:
            found: date = self.construct_yaml_timestamp(node)
        except ValueError as error:
            raise _at(node, f"{node.value} is no date ({error})") from error
        return found

    def whole(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_DIGITS:
            raise _at(node, f"a number has more than {MAX_DIGITS} digits")
        return int(self.construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.exact)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.moment)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole)


def _at(item: Any, reason: str, field: str = "") -> Unreadable:
    return Unreadable(reason, where=f"line {item.start_mark.line + 1}", field=field)
