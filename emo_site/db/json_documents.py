"""What a JSON column can hold on every engine."""

from __future__ import annotations

import json


def problem(document: object) -> str:
    """Why no JSON column could hold the document, the empty string where each can.

    PostgreSQL refuses NaN, infinity, NUL and half of a surrogate pair, each only when the row is written.
    """
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return "NUL characters can't be stored" if "\\u0000" in text.replace("\\\\", "") else ""
