"""The command lines of the documentation, and a desk of its own on which `python -m tests.documented` runs them all."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from django.core.management import ManagementUtility, get_commands
from django.db import connections

from tests.run import PROJECT

OWN_APPS = {"emo_site", "emo_site.api", "jobs", "login", "orders", "monitoring", "reporting"}


def ours() -> set[str]:
    return {name for name, app in get_commands().items() if app in OWN_APPS}


def synopses() -> list[tuple[str, str, str]]:
    """(page, command, the rest of the line) of each command of ours that is written with arguments."""
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("deploy/**/*.md")]
    return [
        (page.name, command, " ".join(rest.replace("\\|", "|").split()))
        for page in sorted(pages)
        for command, rest in re.findall(r"manage\.py ([a-z_]+) +((?:\\\||\|(?! )|[^`\n#;&|])+)", page.read_text())
        if command in ours() and rest.strip()
    ]


def calls(synopsis: str) -> list[list[str]]:
    """The arguments as the synopsis has them: without what is in brackets, and with each of these by itself."""
    optional = re.findall(r"\[([^]]+)\]", synopsis)
    needed = re.sub(r"\[[^]]+\]", "", synopsis)
    return [_words(needed), *(_words(f"{needed} {each}") for each in optional)]


def _words(text: str) -> list[str]:
    return [word.partition("|")[0].rstrip("….") if word != "-" else word for word in shlex.split(text) if word]


def run(words: list[str], stdin: str) -> dict[str, Any]:
    """One command line in this process: its exit status and what it printed; a traceback is an exit status of -1."""
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    kept, sys.stdin = sys.stdin, io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin.encode())))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ManagementUtility(["manage.py", *words]).execute()
    except SystemExit as ended:
        status = ended.code or 0
    except Exception as error:  # whatever it is, it is what the test wants to know
        status, _ = -1, err.write(f"{type(error).__name__}: {error}")
    finally:
        sys.stdin = kept
        connections.close_all()
    return {"words": words, "status": status, "out": out.getvalue()[-2000:], "err": err.getvalue()[-2000:]}


def main() -> None:
    """Reads lines of JSON, [words, stdin], and answers each with one."""
    import django

    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        words, given = json.loads(line)
        print(json.dumps(run(words, given)), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
