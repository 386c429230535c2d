"""Files of events go in: each event once, whatever ends the run; each bad row in quarantine; each bad file refused."""

from __future__ import annotations

import gzip
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import arro3.core
import arro3.io
import psycopg
import pytest
from django.core.management import CommandError, call_command

from monitoring.events import Writer
from monitoring.models import IngestCheckpoint, MarketEvent

START = datetime(2025, 11, 3, 14, 30, tzinfo=UTC)
HEADER = "symbol,event_type,timestamp,price,volume,source,level,metadata"


def line(number: int, **changes: Any) -> str:
    values = {
        "symbol": f"S{number % 20}",
        "event_type": "trade",
        "timestamp": (START + timedelta(seconds=number)).isoformat(),
        "price": 100 + number / 100,
        "volume": number,
        "source": "test",
        "metadata": {"number": number},
    }
    return json.dumps({**values, **changes}) + "\n"


def lines(first: int, end: int) -> str:
    return "".join(map(line, range(first, end)))


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.jsonl"
    path.write_text(lines(0, 50))
    return path


def run(*arguments: object, status: int = 0, tmp_path: Path | None = None) -> tuple[dict[str, Any], str]:
    """The JSON that the command prints, and its message where it ends with an error."""
    out = io.StringIO()
    words = [str(word) for word in arguments]
    if tmp_path is not None:
        words += ["--quarantine", str(tmp_path / "quarantine.jsonl")]
    message, found = "", 0
    try:
        call_command("ingest_events", *words, "--json", stdout=out)
    except CommandError as error:
        message, found = str(error), error.returncode
    except SystemExit as error:
        found = int(error.code or 0)
    assert found == status, message or out.getvalue()
    return json.loads(out.getvalue()), message


def numbers() -> list[int]:
    return sorted(metadata["number"] for metadata in MarketEvent.objects.values_list("metadata", flat=True))


# ---- formats ---------------------------------------------------------------------------------------------------------


def as_csv(count: int) -> str:
    rows = [json.loads(line(number)) for number in range(count)]
    cells = [
        f'{row["symbol"]},trade,{row["timestamp"]},{row["price"]},{row["volume"]},test,,"{{""number"": {number}}}"'
        for number, row in enumerate(rows)
    ]
    return "\n".join([HEADER, *cells]) + "\n"


def as_parquet(path: Path, count: int) -> None:
    rows = [json.loads(line(number)) for number in range(count)]
    names = ("symbol", "event_type", "timestamp", "source")
    texts = {name: arro3.core.Array([row[name] for row in rows], arro3.core.DataType.utf8()) for name in names}
    real = arro3.core.DataType.float64()
    figures = {name: arro3.core.Array([float(row[name]) for row in rows], real) for name in ("price", "volume")}
    said = arro3.core.Array([json.dumps(row["metadata"]) for row in rows], arro3.core.DataType.utf8())
    arro3.io.write_parquet(arro3.core.Table.from_pydict({**texts, **figures, "metadata": said}), path)


@pytest.mark.django_db
def test_every_format_gives_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text(lines(0, 50))
    (tmp_path / "b.csv").write_text("\ufeff" + as_csv(50).replace("\n", "\r\n"))
    as_parquet(tmp_path / "c.parquet", 50)
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(as_csv(20).encode()) + gzip.compress(b""))
    (tmp_path / "e.ndjson").write_text("\ufeff" + lines(0, 50).rstrip("\n") + "\n\n")
    paths = sorted(tmp_path.iterdir())
    found, _ = run(*paths)
    counts = [(Path(each["source"]).name[0], each["rows"], each["new"], each["known"]) for each in found["files"]]
    assert counts == [("a", 50, 50, 0), ("b", 50, 0, 50), ("c", 50, 0, 50), ("d", 20, 0, 20), ("e", 50, 0, 50)]
    assert numbers() == list(range(50))
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(lines(40, 60).encode()))))
    monkeypatch.setattr(sys, "stdin", stdin)
    found, _ = run("-")
    assert (found["files"][0]["new"], found["files"][0]["known"]) == (10, 10)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["UTC", "Mars/Phobos"])
def test_moment_of_parquet_that_python_does_not_know_goes_to_quarantine(zone: str, tmp_path: Path) -> None:
    path, text = tmp_path / "feed.parquet", arro3.core.DataType.utf8()
    moments = arro3.core.Array([1_762_182_000_000_000, 9 * 10**17, -9 * 10**17], arro3.core.DataType.int64())
    columns = {name: arro3.core.Array([word] * 3, text) for name, word in (("symbol", "A"), ("event_type", "trade"))}
    times = moments.cast(arro3.core.DataType.timestamp("us", tz=zone))
    arro3.io.write_parquet(arro3.core.Table.from_pydict({**columns, "timestamp": times}), path)
    found, _ = run(path, status=1, tmp_path=tmp_path)
    [summary] = found["files"]
    known = 1 if zone == "UTC" else 0
    assert (summary["rows"], summary["quarantined"]) == (known, 3 - known)


@pytest.mark.django_db
def test_input_that_can_not_be_named_or_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = run(f"{tmp_path}/caf\udce9.jsonl", status=2)
    assert "caf\\udce9.jsonl: the name holds characters that can't be printed; rename the file." in said
    monkeypatch.setattr(sys, "stdin", None)
    _, said = run("-", status=2)
    assert said == "-: standard input is closed."


@pytest.mark.django_db
def test_bad_rows_go_to_quarantine_and_the_rest_in(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    long = '{"symbol": "' + "x" * 2_000_000 + '"}\n'
    bad = line(3, event_type="rumour") + long + "\n" + "rubbish\n"
    path.write_bytes((lines(0, 3) + bad + lines(4, 10)).encode() + b'{"symbol": "\xe9"}\n' + line(10).encode()[:-2])
    found, _ = run(path, status=1, tmp_path=tmp_path)
    [summary] = found["files"]
    assert (summary["rows"], summary["quarantined"], summary["finished"]) == (9, 5, True)
    assert numbers() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    records = [json.loads(text) for text in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert [(each["line"], each["field"]) for each in records] == [
        (4, "event_type"),
        (5, "row"),
        (7, "row"),
        (14, "symbol"),
        (15, "row"),
    ]
    assert records[0]["value"] == '"rumour"'
    assert records[0]["reason"].startswith("must be one of trade, quote")
    assert records[0]["row"] == line(3, event_type="rumour").rstrip("\n")
    assert records[0]["file"] == str(path)
    assert (records[1]["value"], records[1]["reason"]) == ("2,000,015 bytes", "is longer than 1,048,576 bytes")


def damaged_parquet(path: Path) -> None:
    as_parquet(path, 2000)
    data = bytearray(path.read_bytes())
    data[200:1200] = bytes(1000)
    path.write_bytes(data)


_WHOLE = gzip.compress(lines(0, 50).encode())
DAMAGED = _WHOLE[:100] + bytes(100) + _WHOLE[200:]
BAD_FILES: dict[str, tuple[str, Any, str]] = {
    "empty": ("a.jsonl", b"", "is empty"),
    "blank lines": ("a.jsonl", b"\n\n  \n", "is empty"),
    "only a header": ("a.csv", HEADER.encode(), "has a header and no rows"),
    "header lacks columns": ("a.csv", b"symbol,price\nSPY,1\n", "there is no column event_type, timestamp; there is"),
    "header has others": ("a.csv", b"symbol,event_type,timestamp,prise\n", "unknown column 'prise'; known are"),
    "header twice": ("a.csv", b"symbol,event_type,timestamp,symbol\n", "the column symbol comes twice"),
    "UTF-16": ("a.jsonl", lines(0, 3).encode("utf-16"), "is text in UTF-16; UTF-8 is needed"),
    "binary": ("a.jsonl", bytes(range(256)) * 8, "is not text: it holds NUL bytes"),
    "text": ("a.jsonl", b"the quick brown fox\n" * 1500, "none of the first 1,500 rows is an event"),
    "Parquet by another name": ("a.csv", b"PAR1" + b"x" * 50, "is a Parquet file; say --format parquet"),
    "unknown name": ("a.txt", b"", "its name does not tell the format; say --format jsonl|csv|parquet"),
    "no Parquet": ("a.parquet", b"symbol", "is not a Parquet file"),
    "empty Parquet": ("a.parquet", b"", "is empty"),
    "half a Parquet": ("a.parquet", b"PAR1" + bytes(100), "the Parquet file ends in the middle"),
    "damaged Parquet": ("a.parquet", damaged_parquet, "the Parquet file is damaged"),
    "damaged gzip": ("a.jsonl.gz", DAMAGED, "the gzip file is damaged"),
    "folder": ("a.jsonl", Path.mkdir, "is a folder; name the files in it"),
    "missing": ("a.jsonl", lambda path: None, "can't be read (No such file or directory)"),
    "unreadable": ("a.jsonl", lambda path: path.symlink_to("/proc/self/mem"), "can't be read (Input/output error)"),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("kind", BAD_FILES)
def test_file_that_can_not_be_read_is_refused_before_anything_goes_in(kind: str, tmp_path: Path) -> None:
    name, content, message = BAD_FILES[kind]
    good, bad = tmp_path / "good.jsonl", tmp_path / name
    good.write_text(lines(0, 5))
    bad.write_bytes(content) if isinstance(content, bytes) else content(bad)
    found, said = run(bad, status=2, tmp_path=tmp_path)
    assert said.startswith(f"{bad}: {message}")
    assert found == {"files": [], "not_ingested": [str(bad)], "reason": said}
    assert not MarketEvent.objects.exists()
    assert not (tmp_path / "quarantine.jsonl").exists()
    # There is nothing to go on with, and nothing to recover.
    assert not IngestCheckpoint.objects.filter(finished=False).exists()


@pytest.mark.django_db
def test_missing_file_is_told_before_the_files_in_front_of_it_go_in(feed: Path, tmp_path: Path) -> None:
    found, _ = run(feed, tmp_path / "missing.jsonl", status=2)
    assert found["not_ingested"] == [str(feed), str(tmp_path / "missing.jsonl")]
    assert not MarketEvent.objects.exists()


@pytest.mark.django_db
def test_rows_before_the_end_of_a_cut_off_gzip_are_in_and_the_whole_file_goes_on_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl.gz"
    whole = gzip.compress(lines(0, 20_000).encode())
    path.write_bytes(whole[: len(whole) // 2])
    found, said = run(path, "--batch-size", 100, status=2, tmp_path=tmp_path)
    done = found["files"][0]["rows"]
    assert 5000 < done < 15_000
    assert said == (
        f"{path}: the gzip file ends in the middle. {done:,} rows of {path} went in, up to line {done:,}; the same"
        " command with --resume goes on behind it."
    )
    assert numbers() == list(range(done))
    path.write_bytes(whole)
    found, _ = run(path, "--resume", "--on-conflict", "error", tmp_path=tmp_path)
    assert (found["files"][0]["resumed_after"], found["files"][0]["new"]) == (done, 20_000 - done)
    assert numbers() == list(range(20_000))
    assert not (tmp_path / "quarantine.jsonl").exists()


# ---- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_file_that_has_grown_goes_on_where_it_ended_last_time(feed: Path, tmp_path: Path) -> None:
    with feed.open("a") as file:
        file.write(line(50)[:30])
    run(feed, status=1, tmp_path=tmp_path)
    assert numbers() == list(range(50))
    feed.write_text(lines(0, 60))
    found, _ = run(feed, "--resume", "--on-conflict", "error", tmp_path=tmp_path)
    assert (found["files"][0]["resumed_after"], found["files"][0]["new"]) == (50, 10)
    found, _ = run(feed, "--resume", "--on-conflict", "error", tmp_path=tmp_path)
    assert (found["files"][0]["rows"], found["files"][0]["finished"]) == (0, True)
    assert numbers() == list(range(60))


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["feed.jsonl", "feed.csv", "feed.parquet"])
def test_file_that_was_changed_is_not_gone_on_with(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        as_parquet(path, 20)
    else:
        path.write_text(lines(0, 20) if name.endswith("jsonl") else as_csv(20))
    run(path)
    if name.endswith("parquet"):
        as_parquet(path, 21)
    else:
        path.write_text(path.read_text().replace("S7", "T7"))
    _, said = run(path, "--resume", status=2)
    assert said.startswith(f"{path}: its first ")
    assert "are not those that were taken in before. Run it without --resume" in said
    assert MarketEvent.objects.count() == 20
    run(path)


@pytest.mark.django_db
def test_last_line_of_csv_without_its_end_waits_for_it(tmp_path: Path) -> None:
    """Half a figure is a figure: 400.5 was to be 400.55."""
    path = tmp_path / "feed.csv"
    path.write_text("symbol,event_type,timestamp,price\nSPY,trade,2025-11-03T15:00:00Z,400.5")
    run(path, status=1, tmp_path=tmp_path)
    assert not MarketEvent.objects.exists()
    [record] = map(json.loads, (tmp_path / "quarantine.jsonl").read_text().splitlines())
    assert (record["line"], record["reason"]) == (2, "has no line end, so that it may be cut off")
    with path.open("a") as file:
        file.write("5\nSPY,trade,2025-11-03T15:00:01Z,401\n  ")
    run(path, "--resume", tmp_path=tmp_path)
    assert sorted(MarketEvent.objects.values_list("price", flat=True)) == [Decimal("400.55"), Decimal(401)]


def quarantined(path: Path) -> list[int]:
    return [json.loads(text)["line"] for text in path.read_text().splitlines()]


@pytest.mark.django_db
@pytest.mark.parametrize("first", ["", "old.jsonl"])
def test_bad_rows_are_noted_once_though_the_first_batch_is_tried_again_and_again(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the very first run is told to resume, or was told to use another file of quarantine."""
    path = tmp_path / "feed.jsonl"
    path.write_text(lines(0, 10) + line(10, level="?") + lines(11, 20))
    if first:
        path.write_text(lines(0, 5))
        run(path, "--quarantine", tmp_path / first)
        path.write_text(lines(0, 10) + line(10, level="?") + lines(11, 20))
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "write", fails)
        for _ in range(3):
            run(path, "--resume", status=2, tmp_path=tmp_path)
    run(path, "--resume", status=1, tmp_path=tmp_path)
    assert quarantined(tmp_path / "quarantine.jsonl") == [11]
    assert IngestCheckpoint.objects.values_list("lines", "rows", "quarantined").get() == (20, 19, 1)


def fails(self: Writer, batch: Any) -> Any:
    raise psycopg.errors.DiskFull("no space left on device")


@pytest.mark.django_db
def test_error_on_conflict_names_the_first_line_that_is_on_record(feed: Path) -> None:
    run(feed, "--batch-size", 10)
    path = feed.with_name("more.jsonl")
    path.write_text(lines(100, 130) + "\n" + lines(40, 42))
    found, said = run(path, "--batch-size", 10, "--on-conflict", "error", status=2)
    known = MarketEvent.objects.get(metadata={"number": 40}).pk
    assert said.startswith(
        f"{path} line 32: id={known}: is on record already (the event is of 2025-11-03 14:30:40+00:00)"
    )
    assert found["files"][0]["finished"] is False
    # Nothing of it is on record: there is nothing to recover.
    assert not IngestCheckpoint.objects.filter(finished=False).exists()


@pytest.mark.django_db
def test_update_replaces_what_is_on_record(feed: Path) -> None:
    run(feed)
    feed.write_text("".join(line(number, level="warning") for number in range(45, 55)))
    found, _ = run(feed, "--on-conflict", "update")
    [summary] = found["files"]
    assert (summary["new"], summary["updated"], summary["known"]) == (5, 5, 0)
    assert MarketEvent.objects.filter(level="warning").count() == 10


@pytest.mark.django_db
def test_batch_that_fails_leaves_neither_rows_nor_a_checkpoint(feed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is committed with the rows or not at all."""
    run(feed, "--batch-size", 10)
    before = IngestCheckpoint.objects.values("lines", "offset", "digest", "rows").get()
    with feed.open("a") as file:
        file.write(lines(50, 60))
    write = Writer.write

    def then_full_disk(self: Writer, batch: Any) -> Any:
        write(self, batch)
        raise psycopg.errors.DiskFull("no space left on device")

    monkeypatch.setattr(Writer, "write", then_full_disk)
    _, said = run(feed, "--resume", status=2)
    assert said.startswith("The database can't be used (no space left on device).")
    assert IngestCheckpoint.objects.values("lines", "offset", "digest", "rows").get() == before
    assert numbers() == list(range(50))


@pytest.mark.parametrize("words", [["--batch-size", "0"], ["--format", "xml"], ["--on-conflict", "ignore"], []])
def test_wrong_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("ingest_events", *words, *(["x.jsonl"] if words else []))
