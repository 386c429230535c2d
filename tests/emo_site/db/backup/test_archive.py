"""An archive opens with its key, whole and unchanged, or not at all."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrage import x25519

from emo_site.db.backup import archive
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.keys import Keys, parse
from emo_site.db.backup.manifest import DatabaseFacts, Manifest, Trail

KEY = parse(str(x25519.Identity.generate()))
FACTS = DatabaseFacts(
    alias="default",
    engine="sqlite",
    server_version="3.40.1",
    server_major=3,
    migrations=("orders.0001_initial",),
    tables={"order_events": 2, "staged_orders": 1},
    structure=("index order_events.order_events_at",),
    sequences={"auth_user.id": 3},
    trails={"orders.OrderEvent": Trail(columns=("id", "at"), rows=2, last_id="b", sha256="ab" * 32)},
)
MANIFEST = Manifest(
    made_at=datetime(2025, 11, 3, 15, tzinfo=UTC), environment="dev", desk_version="0.1.0", databases=(FACTS,)
)
DUMPS = {"default.sqlite.gz": b"first of all " * 9000, "timeseries.pgdump": b"\x00\x01" * 50}


def made(folder: Path, dumps: dict[str, bytes] = DUMPS, keys: Keys = KEY) -> Path:
    path = folder / "emo-dev-20251103T150000Z.tar.age"
    archive.write(
        path,
        keys=keys,
        manifest=MANIFEST,
        dumps=[(name, lambda data=data: iter([data])) for name, data in dumps.items()],
    )
    return path


def read(path: Path, keys: Keys = KEY) -> tuple[Manifest, dict[str, bytes]]:
    with archive.opened(path, keys) as opened:
        return opened.manifest, {name: b"".join(pieces) for name, pieces in opened.dumps()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(tmp_path_factory.mktemp("archive")).read_bytes()


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    assert read(made(tmp_path)) == (MANIFEST, DUMPS)


def test_dump_of_many_parts_comes_out_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PART_BYTES", 1000)
    assert read(made(tmp_path))[1] == DUMPS


def test_archive_opens_by_hand_with_age_and_tar(tmp_path: Path) -> None:
    plain = pyrage.decrypt(made(tmp_path).read_bytes(), list(KEY.identities))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.getnames() == [
            "manifest.json",
            "default.sqlite.gz/000000",
            "timeseries.pgdump/000000",
            "checksums.json",
        ]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    assert made(tmp_path).stat().st_mode & 0o777 == 0o600


def test_nothing_of_it_is_readable_without_the_key(whole: bytes) -> None:
    for word in (b"manifest", b"default", b"order_events", b"first of all"):
        assert word not in whole


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_refused(data: st.DataObject, whole: bytes, shelf: Path) -> None:
    # Half of the draws in the header, which is short and has a form of its own.
    position = data.draw(st.one_of(st.integers(0, 250), st.integers(0, len(whole) - 1)))
    damaged = bytearray(whole)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    path = shelf / "flipped"
    path.write_bytes(damaged)
    with pytest.raises(NotProven):
        read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_anywhere_is_refused(data: st.DataObject, whole: bytes, shelf: Path) -> None:
    # Chunks of age are 64 KiB and 16 bytes; a cut between two of them is the one that could go unnoticed.
    edge = whole.index(b"\n--- ") + 1
    edge = whole.index(b"\n", edge + 4) + 1 + 16 + (1 << 16) + 16
    length = data.draw(st.one_of(st.just(edge), st.integers(0, len(whole) - 1)))
    path = shelf / "cut"
    path.write_bytes(whole[:length])
    with pytest.raises(NotProven):
        read(path)


def test_cut_that_takes_nothing_but_the_end_of_the_tar_is_refused(tmp_path: Path) -> None:
    end, chunk = len(archive._END_OF_TAR), 1 << 16
    plain = pyrage.decrypt(made(tmp_path, {"default.pgdump": bytes(512)}).read_bytes(), list(KEY.identities))
    # So long that the end of the tar is alone in the last chunk.
    path = made(tmp_path, {"default.pgdump": bytes(512 + (end - len(plain)) % chunk)})
    content = path.read_bytes()
    path.write_bytes(content[: -(end + 16)])
    with pytest.raises(NotProven, match="damaged or cut short"):
        read(path)


def test_something_behind_the_end_is_refused(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(whole + b"x")
    with pytest.raises(NotProven, match="damaged or cut short"):
        read(tmp_path / "longer")


@pytest.mark.parametrize("content", [b"", b"x", b"PGDMP" + bytes(5000), b"age-encryption.org/v1\n"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotProven, match="it is no archive of the desk, or its beginning is damaged"):
        read(tmp_path / "file")


def test_wrong_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="the key does not open it: it was made for another key"):
        read(made(tmp_path), parse(str(x25519.Identity.generate())))


def _tar(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        (b"", "it is no archive of the desk"),
        (b"no tar at all", "it is no archive of the desk"),
        (_tar(("other.json", b"{}")), "does not begin with a manifest"),
        (_tar(("manifest.json", b"{}")), "the manifest can't be read"),
        (_tar(("manifest.json", b"[1]")), "the manifest can't be read"),
        (
            _tar(("manifest.json", MANIFEST.dump()), ("default.pgdump/000000", b"x")),
            "not those that its checksums name",
        ),
        (
            _tar(("manifest.json", MANIFEST.dump()), ("default.pgdump/000000", b"x"), ("checksums.json", b"{}")),
            "not those that its checksums name",
        ),
        (_tar(("manifest.json", MANIFEST.dump()), ("checksums.json", b"no json")), "it is no archive of the desk"),
    ],
)
def test_encrypted_but_not_an_archive_is_refused(plain: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pyrage.encrypt(plain, list(KEY.recipients)))
    with pytest.raises(NotProven, match=problem):
        read(tmp_path / "file")


def test_format_of_a_newer_desk_is_refused_as_such(tmp_path: Path) -> None:
    newer = MANIFEST.dump().replace(b'"format": 1', b'"format": 2')
    (tmp_path / "file").write_bytes(pyrage.encrypt(_tar(("manifest.json", newer)), list(KEY.recipients)))
    with pytest.raises(CouldNot, match="a format that this version of the desk does not know"):
        read(tmp_path / "file")


def test_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CouldNot, match=r"nothing: can't be read \(No such file or directory\)"):
        read(tmp_path / "nothing")


def test_dump_that_the_reader_left_is_checked_too(tmp_path: Path) -> None:
    with archive.opened(made(tmp_path), KEY) as opened:
        assert [name for name, _ in opened.dumps()] == list(DUMPS)


def test_reader_that_stops_early_leaves_no_thread_waiting(tmp_path: Path) -> None:
    path = made(tmp_path, {"default.pgdump": bytes(8 << 20)})
    assert archive.manifest_of(path, KEY) == MANIFEST


def test_dump_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Iterator[bytes]:
        yield b"some"
        raise CouldNot("default: pg_dump ended with 1: out of luck")

    path = tmp_path / "emo.tar.age"
    with pytest.raises(CouldNot, match=r"^default: pg_dump ended with 1: out of luck$"):
        archive.write(path, keys=KEY, manifest=MANIFEST, dumps=[("default.pgdump", fails)])
    assert list(tmp_path.iterdir()) == []


def test_unfinished_archive_does_not_look_like_one(tmp_path: Path) -> None:
    seen = []

    def looks() -> Iterator[bytes]:
        seen.extend(path.name for path in tmp_path.iterdir())
        yield b"some"

    path = tmp_path / "emo.tar.age"
    archive.write(path, keys=KEY, manifest=MANIFEST, dumps=[("default.pgdump", looks)])
    assert seen == [".emo.tar.age.partial"]
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(archive.os, "fdopen", lambda *arguments, **options: full)
        with pytest.raises(CouldNot, match=r"emo\.tar\.age: can't be written \(No space left on device\)"):
            archive.write(tmp_path / "emo.tar.age", keys=KEY, manifest=MANIFEST, dumps=[])
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_flat(tmp_path: Path) -> None:
    block = bytes(range(256)) * 256
    path = tmp_path / "big.tar.age"
    tracemalloc.start()
    try:
        archive.write(
            path, keys=KEY, manifest=MANIFEST, dumps=[("default.pgdump", lambda: (block for _ in range(1000)))]
        )
        with archive.opened(path, KEY) as opened:
            sizes = [sum(len(piece) for piece in pieces) for _, pieces in opened.dumps()]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sizes == [len(block) * 1000]
    # 65 MB went through.
    assert peak < 5 * archive.PART_BYTES


def test_manifest_keeps_the_head_of_a_chain(tmp_path: Path) -> None:
    trail = replace(FACTS.trails["orders.OrderEvent"], head="c0ffee")
    chained = replace(MANIFEST, databases=(replace(FACTS, trails={"orders.OrderEvent": trail}),))
    assert Manifest.load(chained.dump()) == chained


@pytest.mark.parametrize("alias", ["/etc/cron", "../x", "a b", ""])
def test_alias_that_would_be_a_path_is_refused(alias: str) -> None:
    planted = replace(MANIFEST, databases=(replace(FACTS, alias=alias),)).dump()
    with pytest.raises(NotProven, match="is no name of a database"):
        Manifest.load(planted)
