"""A QR code as the outline of an SVG path. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import segno

# What the standard wants of empty space around it, in modules.
BORDER = 4


@dataclass(frozen=True, kw_only=True)
class QRCode:
    """`size` of the square's side, border included, in the units of `path`."""

    size: int
    path: str


def qr_code(text: str) -> QRCode:
    matrix = segno.make(text, micro=False, error="m").matrix
    path = "".join(
        f"M{left + BORDER} {top + BORDER}h{width}v1h-{width}z"
        for top, row in enumerate(matrix)
        for left, width in _dark_runs(row)
    )
    return QRCode(size=len(matrix) + 2 * BORDER, path=path)


def _dark_runs(row: bytes | bytearray) -> list[tuple[int, int]]:
    """(first column, width) of each run of dark modules."""
    runs: list[tuple[int, int]] = []
    for column, dark in enumerate(row):
        if not dark:
            continue
        if runs and sum(runs[-1]) == column:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((column, 1))
    return runs
