"""docs/api-feed.md, run from its first example to its last against a desk that is served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import trading_bot
from tests.run import PROJECT

PAGE = "docs/api-feed.md"


@pytest.mark.usefixtures("emptied_afterwards")
def test_the_examples_do_what_they_say(
    live_server: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.EMO_DATA_DIR = tmp_path
    monkeypatch.setenv("EMO_DESK", live_server.url)
    monkeypatch.setenv("EMO_TOKEN", trading_bot().secret)
    examples = re.findall(r"^```python\n(.*?)^```$", (PROJECT / PAGE).read_text(), re.S | re.M)
    assert len(examples) == 6
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, PAGE, "exec"), names)
    assert names["review"]["filters"]["strategy"] == "momentum"
    assert list((tmp_path / "quarantine").iterdir())
