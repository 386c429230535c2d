"""manage.py write_docs: writes the pages that come from tables of the code, or says whether they are current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import rules_page, workflow_page

PAGES = {"rules.md": rules_page.page, "workflow.md": workflow_page.page}


class Command(BaseCommand):
    help = "Writes docs/rules.md and docs/workflow.md; with --check writes nothing, exit status 1 where one is old."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether the pages are current")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.BASE_DIR) / "docs"
        for name, page in PAGES.items():
            path = folder / name
            current = path.is_file() and path.read_text(encoding="utf-8") == page()
            if options["check"] and not current:
                raise CommandError(f"docs/{name} is not what the code says: run manage.py write_docs.")
            if not current:
                path.write_text(page(), encoding="utf-8")
            self.stdout.write(f"docs/{name} is current." if current else f"docs/{name} is written.")
