"""Which backup is the newest one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import Shelf

NOW = datetime(2025, 11, 3, 15, tzinfo=UTC)


def test_newest_is_the_one_with_the_latest_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, "dev")
    with pytest.raises(CouldNot, match="there is no backup of dev"):
        shelf.newest(NOW)
    for name in ("dev-20251101T150000Z", "dev-20251103T150000Z", "dev-20251102T150000Z", "prod-20251103T160000Z"):
        (tmp_path / f"emo-{name}.tar.age").write_text("x")
    assert shelf.newest(NOW).made_at == NOW


def test_backup_from_the_future_does_not_hide_the_later_ones(tmp_path: Path) -> None:
    for name in ("20251102T150000Z", "20251103T150501Z"):
        (tmp_path / f"emo-dev-{name}.tar.age").write_text("x")
    with pytest.raises(CouldNot, match=r"emo-dev-20251103T150501Z.tar.age is dated in the future"):
        Shelf(tmp_path, "dev").newest(NOW)
