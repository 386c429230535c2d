"""The drawn path is the QR code, module by module."""

from __future__ import annotations

import re

import segno

from emo_site.login.qr import BORDER, qr_code

TEXT = "otpauth://totp/EMO%20Desk:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=EMO%20Desk"


def test_the_path_covers_the_dark_modules_and_no_others() -> None:
    drawn = qr_code(TEXT)
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", drawn.path)
    assert "".join(f"M{left} {top}h{width}v1h-{back}z" for left, top, width, back in runs) == drawn.path
    dark = {(int(left) + step, int(top)) for left, top, width, _ in runs for step in range(int(width))}
    matrix = segno.make(TEXT, micro=False, error="m").matrix
    expected = {
        (column + BORDER, row + BORDER) for row, line in enumerate(matrix) for column, bit in enumerate(line) if bit
    }
    assert dark == expected
    assert drawn.size == len(matrix) + 2 * BORDER
