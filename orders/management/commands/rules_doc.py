"""manage.py rules_doc: writes docs/rules.md from the registry of rules, or says whether it is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import rules_page


class Command(BaseCommand):
    help = "Writes docs/rules.md; with --check it writes nothing and exits 1 where the page is not current."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether the page is current")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "rules.md"
        page = rules_page.page()
        if options["check"]:
            if path.read_text(encoding="utf-8") != page:
                raise CommandError("docs/rules.md is not what the registry says: run manage.py rules_doc.")
            self.stdout.write("docs/rules.md is current.")
            return
        path.write_text(page, encoding="utf-8")
        self.stdout.write(f"{path} written.")
