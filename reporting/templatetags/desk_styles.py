"""The desk's stylesheets as text, for files that must need nothing else."""

from __future__ import annotations

from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

STYLESHEETS = ("desk/tokens.css", "desk/site.css")


@register.simple_tag
def inline_styles(*more: str) -> SafeString:
    """The stylesheets' own text, `more` after those of every page: files of this project, no data of anybody's."""
    texts = []
    for name in (*STYLESHEETS, *more):
        found = finders.find(name)
        if not isinstance(found, str):
            raise template.TemplateSyntaxError(f"the stylesheet {name} is missing")
        texts.append(Path(found).read_text(encoding="utf-8"))
    return mark_safe("\n".join(texts))  # noqa: S308
