"""pg_dump and pg_restore of a version that fits the server, or a message that says which would."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_site.db.backup import programs
from emo_site.db.backup.errors import CouldNot


def program(folder: Path, version: str, name: str = "pg_dump") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    path.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("PATH", f"{tmp_path}/path")


def found(server: int, *, made_by: int = 0, configured: Path | str = "") -> Path:
    return programs.find("pg_dump", server=server, made_by=made_by, configured=str(configured)).path


def test_configured_folder_wins(tmp_path: Path) -> None:
    program(tmp_path / "path", "17.5")
    own = program(tmp_path / "own", "17.6 (Debian 17.6-1.pgdg120+1)")
    assert found(17, configured=own) == own / "pg_dump"
    assert programs.find("pg_dump", server=17, configured=str(own)).version == "17.6"


def test_path_comes_before_the_folders_of_debian(tmp_path: Path) -> None:
    program(tmp_path / "debian/17/bin", "17.5")
    assert found(17) == tmp_path / "debian/17/bin/pg_dump"
    program(tmp_path / "path", "18.0")
    assert found(17) == tmp_path / "path/pg_dump"


def test_oldest_that_fits_is_taken_of_debians(tmp_path: Path) -> None:
    for major in (9, 15, 17, 18):
        program(tmp_path / f"debian/{major}/bin", f"{major}.1")
    program(tmp_path / "path", "15.18")
    assert found(17) == tmp_path / "debian/17/bin/pg_dump"
    assert found(17, made_by=18) == tmp_path / "debian/18/bin/pg_dump"


def test_client_older_than_the_server_is_refused(tmp_path: Path) -> None:
    program(tmp_path / "path", "15.18 (Debian 15.18-0+deb12u1)")
    with pytest.raises(CouldNot) as error:
        found(17)
    assert str(error.value) == (
        f"pg_dump of version 17 or newer is needed, for a server of version 17: {tmp_path}/path/pg_dump is 15.18 found"
        f" in PATH and {tmp_path}/debian/*/bin; name the folder of the right one in EMO_PG_BIN"
    )


def test_client_whose_output_an_old_server_refuses_is_not_taken(tmp_path: Path) -> None:
    program(tmp_path / "path", "17.5")
    with pytest.raises(CouldNot, match="pg_dump of version 15 to 16 is needed"):
        found(15)
    program(tmp_path / "debian/16/bin", "16.9")
    assert found(15) == tmp_path / "debian/16/bin/pg_dump"


def test_dump_of_a_newer_program_does_not_go_into_an_old_server(tmp_path: Path) -> None:
    program(tmp_path / "path", "17.5")
    with pytest.raises(CouldNot, match=r"both reads what version 17 wrote and serves PostgreSQL 15 \(there is none\)"):
        found(15, made_by=17)


def test_missing_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(CouldNot, match=f"no pg_dump found in EMO_PG_BIN={tmp_path}/nowhere"):
        found(17, configured=tmp_path / "nowhere")


def test_program_that_does_not_say_its_version_is_no_program(tmp_path: Path) -> None:
    (program(tmp_path / "path", "17.5") / "pg_dump").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(CouldNot, match="no pg_dump found in PATH"):
        found(17)
