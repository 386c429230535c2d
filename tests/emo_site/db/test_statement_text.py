"""A statement's text without its values."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from emo_site.db.statement_text import MOST_READ, MOST_TOLD, normalised


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT  a,\n\tb FROM t", "SELECT a, b FROM t"),
        ("SELECT -1.5e-3, .5, 0x1F, 1_000, 12abc, 1.5E+7", "SELECT -?"),
        ("SELECT * FROM t WHERE a IN (1, 2,3)", "SELECT * FROM t WHERE a IN (?)"),
        ("SELECT * FROM t WHERE a IN (%s, %s) AND b = %s", "SELECT * FROM t WHERE a IN (?) AND b = ?"),
        ("INSERT INTO t VALUES (%s, %s), (%s, %s), (%s, %s)", "INSERT INTO t VALUES (?)"),
        ("SELECT 'it''s' || E'it\\'s' || $$a'b$$ || $x$ $$ $x$ || U&'x' || X'1F'", "SELECT ? || ? || ? || ? || ? || ?"),
        ("SELECT name'x', typee'y'", "SELECT name?, typee?"),
        ('SELECT "t"."id", "a b", "it""s", `c` FROM "t"', 'SELECT "t"."id", "?", "?", `c` FROM "t"'),
        ("SELECT 1 -- of 'them'\nFROM t /* who's */ WHERE b", "SELECT ? FROM t WHERE b"),
        ('SELECT "t"."a", "t"."b", "t"."c", "u"."d" FROM "t"', 'SELECT "t"."a", … FROM "t"'),
        ('SELECT "t"."a", "t"."b", "t"."c" FROM "t"', 'SELECT "t"."a", "t"."b", "t"."c" FROM "t"'),
        ("SELECT 1 /* a /* b */ secret */", "SELECT ?"),
        ("SELECT ?1, ?, :name, @name, $1, %(name)s", "SELECT ?"),
        ("SELECT a::text, b[1:2], c % 5, d LIKE 'x%%'", "SELECT a::text, b[?:?], c % ?, d LIKE ?"),
        ("SELECT a1, $tag, b$c FROM t2", "SELECT a1, ?, b$c FROM t2"),
        ("SELECT 'never closed", "SELECT ?"),
        ("SELECT E'never closed\\", "SELECT ?"),
        ("SELECT $q$never closed", "SELECT ?"),
        ("SELECT /* never closed", "SELECT"),
        ("CREATE ROLE emo PASSWORD 'hush'", "CREATE ROLE emo PASSWORD ?"),
        ("SELECT '\\', secret FROM t", "SELECT ?, secret FROM t"),
        ("", ""),
        ("\x00 § \\", "? ? ?"),
        ("SELECT 1 --\rsecret\nFROM t", "SELECT ?"),
    ],
)
def test_values_go_and_the_shape_stays(statement: str, expected: str) -> None:
    assert normalised(statement) == expected


def test_long_texts_are_cut() -> None:
    assert len(normalised("SELECT " + "a, " * 10_000)) == MOST_TOLD
    assert normalised("SELECT '" + "x" * MOST_READ) == "SELECT ?…"


# Upper and lower case, digits, blanks: as a word of its own it would be told.
MARK = "Zq7 Xk9 Wv3"
PARTS = MARK.split()
INSIDE = st.text(alphabet="a'\"$\\;-*/ %?{}\n\rÄ0.e", max_size=12)
QUOTINGS = {
    "plain": lambda text: "'" + text.replace("'", "''") + "'",
    "escaped": lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "national": lambda text: "N'" + text.replace("'", "''") + "'",
    "unicode": lambda text: "U&'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
    "dollars": lambda text: "$$" + text.replace("$", "") + "$$",
    "tagged": lambda text: "$tag$" + text.replace("$", "") + "$tag$",
    "comment": lambda text: "/* " + text.replace("*", "").replace("/", "") + " */ 0",
    "line": lambda text: "-- " + text.replace("\n", "").replace("\r", "") + "\n 0",
    "psycopg": lambda text: sql.Literal(text).as_string(None),
}
SHAPES = st.sampled_from(
    [
        "SELECT {0}, {1} FROM t WHERE name={2}",
        "INSERT INTO t (a) VALUES ({0}),({1}),({2})",
        "SELECT * FROM t WHERE a IN ({0},{1}) OR b LIKE {2} ESCAPE '\\'",
        'UPDATE "t" SET "a"={0} WHERE "b"={1}::text AND c ->> {2} = 5',
        "SELECT date {0}, e {1}/* x */-{2}",
    ]
)


@settings(max_examples=1500)
@given(
    shape=SHAPES,
    values=st.tuples(INSIDE, INSIDE, INSIDE),
    ends=st.tuples(INSIDE, INSIDE, INSIDE),
    kinds=st.tuples(*[st.sampled_from(sorted(QUOTINGS))] * 3),
)
@example(shape="SELECT {0}, {1}, {2}", values=("\\", "'", "$"), ends=("\\", "'", "$"), kinds=("plain",) * 3)
def test_no_literal_is_ever_told(
    shape: str, values: tuple[str, ...], ends: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    literals = [
        QUOTINGS[kind](f"{before}{MARK}{after}") for kind, before, after in zip(kinds, values, ends, strict=True)
    ]
    told = normalised(shape.format(*literals))
    assert not [part for part in PARTS if part in told], told


@given(
    number=st.one_of(st.integers(10**6, 10**18), st.floats(1e6, 1e300).map(repr), st.decimals(10**6, 10**9).map(str))
)
def test_no_number_is_ever_told(number: object) -> None:
    told = normalised(f"SELECT {number} FROM t1 WHERE a>{number}")
    assert told == "SELECT ? FROM t1 WHERE a>?"


@given(st.text(max_size=200))
def test_any_text_comes_out_as_something(text: str) -> None:
    assert len(normalised(text)) <= MOST_TOLD


@pytest.mark.django_db
@settings(max_examples=50)
@given(name=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_what_the_server_would_run_is_told_without_its_values(name: str) -> None:
    """The text with its values put in, as psycopg and Django's log write it: the same shape, whatever the value."""
    query = User.objects.filter(username=f"{name}{MARK}").order_by()
    statement, parameters = query.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        ran = connection.ops.last_executed_query(cursor, statement, parameters)
    if connection.vendor == "postgresql":
        assert MARK in ran
        assert not [part for part in PARTS if part in normalised(ran)]
    assert not [part for part in PARTS if part in normalised(statement)]
