"""A YAML document as values, each with its place in the text: so that whoever wrote a mistake is led to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

Path = tuple[str | int, ...]

# Deeper than any policy is; the parser itself would go on until Python's stack ends.
MAX_DEPTH = 12
_NUMBER = re.compile(r"[-+]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: which name, its value (None where there is none) and the rule it breaks.

    `line` and `column` count from 1; None where it is not about a place in a text.
    """

    rule: str
    name: str = ""
    value: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}, column {self.column}: "
        name = self.name if self.value is None else f"{self.name}={self.value}"
        return f"{place}{name}: {self.rule}" if name else f"{place}{self.rule}"


class NotYaml(ValueError):
    """The text can't be read at all; `problem` says where it ends to make sense."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a value or a name stands, and the value as it was written."""

    line: int
    column: int
    shown: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """`values` are mappings, lists, texts, Decimals, whole numbers and booleans; `places` are those of the values,
    `names` those of the names, by path.
    """

    values: Any
    places: Mapping[Path, Place]
    names: Mapping[Path, Place]
    problems: tuple[Problem, ...]

    def problem(self, path: Path, rule: str) -> Problem:
        """A problem with the value at that path; where nothing stands there, with the place it is missing from."""
        place = self.places.get(path)
        above = path
        while place is None:
            above = above[:-1]
            place = self.places.get(above)
        shown = place.shown if above == path else None
        return Problem(rule=rule, name=name_of(path), value=shown, line=place.line, column=place.column)

    def problem_of_name(self, path: Path, rule: str) -> Problem:
        place = self.names[path]
        return Problem(rule=rule, name=name_of(path), line=place.line, column=place.column)


def name_of(path: Path) -> str:
    """risk.restricted_symbols[1]"""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".") or "the document"


def read(text: str, schema: Mapping[str, Any]) -> Document:
    """Raises NotYaml. A scalar becomes what the JSON Schema wants at its place: 0.10 must not pass through binary
    floating point, and a version 1.10 is a text. What can't become that stays a text, for the schema to refuse.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _not_yaml(error.problem or error.context or "it makes no sense", *place) from error
    except yaml.reader.ReaderError as error:
        lines = text[: error.position].split("\n")
        raise _not_yaml(error.reason, len(lines), len(lines[-1]) + 1) from error
    if node is None:
        node = yaml.ScalarNode("tag:yaml.org,2002:null", "", yaml.Mark("", 0, 0, 0, None, 0))
    return _Walk(schema).document(node)


class _Loader(yaml.BaseLoader):
    """Refuses what makes a document say more than it shows: a value that stands elsewhere, and endless nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, f"*{event.anchor} stands for a value elsewhere: state each value where it applies")
        if self.depth == MAX_DEPTH:
            raise _refused(event, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _refused(event: Any, reason: str) -> NotYaml:
    return _not_yaml(reason, event.start_mark.line + 1, event.start_mark.column + 1)


def _not_yaml(reason: str, line: int, column: int) -> NotYaml:
    return NotYaml(Problem(rule=f"can't be read: {reason}", line=line, column=column))


class _Walk:
    """One way through the nodes of a document, beside its schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self.places: dict[Path, Place] = {}
        self.names: dict[Path, Place] = {}
        self.problems: list[Problem] = []

    def document(self, node: yaml.Node) -> Document:
        values = self._value(node, self.schema, ())
        return Document(values=values, places=self.places, names=self.names, problems=tuple(self.problems))

    def _value(self, node: yaml.Node, schema: Mapping[str, Any], path: Path) -> Any:
        schema = self._resolved(schema)
        self.places[path] = _place(node)
        if isinstance(node, yaml.MappingNode):
            known, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
            return {
                name: self._value(child, known.get(name, others), (*path, name))
                for name, child in self._items(node, path)
            }
        if isinstance(node, yaml.SequenceNode):
            items = schema.get("items", {})
            return [self._value(child, items, (*path, place)) for place, child in enumerate(node.value)]
        return _scalar(str(node.value), schema.get("type"))

    def _items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        for key, child in node.value:
            place = _place(key)
            if not isinstance(key, yaml.ScalarNode):
                rule = "a name must be a text"
            elif (*path, key.value) in self.names:
                # Of two limits, nobody can tell which one is meant.
                rule = "is stated twice"
            else:
                self.names[*path, key.value] = place
                yield key.value, child
                continue
            name = name_of((*path, place.shown))
            self.problems.append(Problem(rule=rule, name=name, line=place.line, column=place.column))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = schema.get("$ref")
        if reference is None:
            return schema
        found: Mapping[str, Any] = self.schema["$defs"][reference.removeprefix("#/$defs/")]
        return found


def _place(node: yaml.Node) -> Place:
    if isinstance(node, yaml.ScalarNode):
        shown = node.value if node.value.isprintable() and node.value.strip() else repr(node.value)
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
    else:
        shown = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
    return Place(line=node.start_mark.line + 1, column=node.start_mark.column + 1, shown=shown)


def _scalar(text: str, kind: str | None) -> str | int | bool | Decimal:
    if kind == "boolean":
        return _BOOLEANS.get(text, text)
    if kind not in ("number", "integer") or not _NUMBER.fullmatch(text):
        return text
    number = Decimal(text)
    return int(number) if kind == "integer" and number == int(number) else number
