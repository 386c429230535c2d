"""Rows validated in a process beside this one are the rows that are validated here."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from monitoring import event_blocks, events
from monitoring.event_blocks import Block, Form, ReaderLost, block_of, blocks_of
from monitoring.event_copy import FORM
from monitoring.event_fields import csv_reader
from monitoring.event_files import _row_of_csv
from monitoring.text_lines import BLOCK, Lines
from tests.run import PROJECT


def lines(count: int) -> bytes:
    """Every hundredth is no event, every thousandth is blank."""

    def line(number: int) -> str:
        if number % 1000 == 7:
            return ""
        price = "much" if number % 100 == 3 else number / 100
        event = {"symbol": "SPY", "event_type": "trade", "price": price, "metadata": {"n": number}}
        return json.dumps({**event, "timestamp": f"2025-11-03T15:00:00.{number:06}Z"})

    return "\n".join(map(line, range(count))).encode()


@pytest.mark.parametrize("form", [FORM, events._STATEMENTS])
def test_blocks_are_the_same_and_in_the_same_order(monkeypatch: pytest.MonkeyPatch, form: Form) -> None:
    data = lines(20_000)
    assert len(data) > 6 * BLOCK
    here = [block_of(piece, form.row_of_json, form) for piece in Lines(io.BytesIO(data)).pieces()]
    monkeypatch.setattr(event_blocks, "BEFORE_PROCESS", 1)
    there = list(blocks_of(Lines(io.BytesIO(data)).pieces(), form.row_of_json, form))
    assert [told(block) for block in there] == [told(block) for block in here]
    assert sum(len(block.refused) for block in there) == 200
    assert sum(len(block.rows) for block in there) == 20_000 - 200 - 20


def told(block: Block) -> tuple[object, ...]:
    refused = [(row.line, str(row.problem), row.problem.field, row.text) for row in block.refused]
    return block.rows, list(block.lines), refused, block.mark


def test_lines_of_a_table_are_read_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"SPY,trade,2025-11-03T15:00:00Z\n" * 30_000
    make = partial(_row_of_csv, csv_reader(["symbol", "event_type", "timestamp"]), FORM.row)
    monkeypatch.setattr(event_blocks, "BEFORE_PROCESS", 1)
    blocks = blocks_of(Lines(io.BytesIO(data)).pieces(), make, FORM)
    assert sum(len(block.rows) for block in blocks) == 30_000


def test_process_that_ends_is_told_of_and_not_taken_for_the_end_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_blocks, "BEFORE_PROCESS", 0)
    blocks = blocks_of(Lines(io.BytesIO(lines(60_000))).pieces(), FORM.row_of_json, FORM)
    next(blocks)
    for process in psutil.Process().children(recursive=True):
        if "spawn_main" in " ".join(process.cmdline()):
            process.kill()
    with pytest.raises(ReaderLost):
        list(blocks)


class Growing(io.BytesIO):
    """Ends, and then goes on after all."""

    def read(self, size: int | None = -1) -> bytes:
        read = super().read(size)
        if not read:
            self.write(b"rest\n")
            self.seek(-5, os.SEEK_END)
        return read


def test_rest_of_a_line_that_came_too_late_is_not_taken_for_a_line() -> None:
    data = [piece.data for piece in Lines(Growing(b"one\ntwo\nthr")).pieces()]
    assert data == [b"one\ntwo\n", b"thr"]


READ = """
import io, os, sys
from monitoring import event_blocks
from monitoring.event_copy import FORM
from monitoring.text_lines import Lines
event_blocks.BEFORE_PROCESS = 0
if __name__ == "__main__":
    data = open(sys.argv[1], "rb").read()
    for _ in event_blocks.blocks_of(Lines(io.BytesIO(data)).pieces(), FORM.row_of_json, FORM):
        print("one", flush=True)
        sys.stdin.read()
"""


def test_process_ends_with_the_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(READ)
    (tmp_path / "lines").write_bytes(lines(60_000))
    command = [sys.executable, str(tmp_path / "read.py"), str(tmp_path / "lines")]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        readers = psutil.Process(run.pid).children(recursive=True)
        assert len(readers) >= 2
        run.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(readers, timeout=10)
        assert not alive
