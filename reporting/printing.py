"""A report on A4 paper: PDF, set by WeasyPrint from the self-contained file. Nothing is fetched."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, NoReturn

from django.contrib.staticfiles import finders

from reporting import rendering
from reporting.rendering import Report

_STYLES_OF_DRAWINGS = "desk/print-charts.css"
# Texts of data hold no tag: templates escape them.
_DRAWING = re.compile(r"<svg\b[^>]*>")


class CannotPrint(Exception):
    """What is missing on this machine; the message says what to install."""


def pdf_file(report: Report) -> bytes:
    """Raises CannotPrint."""
    try:
        # A second of its own, and it needs Pango: only who prints pays for it.
        import weasyprint  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise CannotPrint(
            "PDF needs WeasyPrint and Pango (Debian: libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0):"
            f" {str(error).strip().splitlines()[0]}"
        ) from error
    # It warns of every property of screens that paper does not know.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    document: Any = weasyprint.HTML(string=_with_styled_drawings(rendering.html_file(report)), url_fetcher=_refuse)
    printed: bytes = document.write_pdf()
    return printed


def _with_styled_drawings(html: str) -> str:
    found = finders.find(_STYLES_OF_DRAWINGS)
    if not isinstance(found, str):
        raise CannotPrint(f"the stylesheet {_STYLES_OF_DRAWINGS} is missing")
    style = f"<style>{Path(found).read_text(encoding='utf-8')}</style>"
    return _DRAWING.sub(lambda opening: opening[0] + style, html)


def _refuse(url: str, *args: Any, **kwargs: Any) -> NoReturn:
    raise ValueError(f"{url}: a report needs nothing else")
