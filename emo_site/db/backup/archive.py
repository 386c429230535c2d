"""One backup as one file: a tar stream inside age's encryption, which proves every chunk, their order and the end.

Nothing of it is readable without the key. By hand: `age --decrypt -i KEYFILE FILE | tar x`, then
`cat default.pgdump/* | pg_restore …` or `cat default.sqlite.gz/* | gunzip`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import pyrage

from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.keys import Keys
from emo_site.db.backup.manifest import Manifest

MANIFEST, CHECKSUMS = "manifest.json", "checksums.json"
# A tar member says its size in front, and a dump's size is known only at its end: so it goes in parts.
PART_BYTES = 4 << 20
BLOCK_BYTES = 1 << 16
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)

Dump = tuple[str, Callable[[], Iterator[bytes]]]


# ---- writing --------------------------------------------------------------------------------------------------------


def write(path: Path, *, keys: Keys, manifest: Manifest, dumps: Iterable[Dump]) -> int:
    """Writes the archive under a temporary name, and renames it once it is whole and on the disk; returns its bytes.

    A failure leaves nothing behind; a kill leaves a file that does not look like an archive. Raises CouldNot.
    """
    partial = partial_of(path)
    content = _Content(_tar(manifest, dumps))
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                _encrypt(content, file, keys)
                file.flush()
                os.fsync(file.fileno())
            size = partial.stat().st_size
            partial.rename(path)
            _sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CouldNot(f"{path}: can't be written ({error.strerror or error})") from error
    return size


def partial_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


class _Content(io.RawIOBase):
    """What the encryption reads. Its own error must not come out as one of the encryption's."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._left:
                self._left = memoryview(next(self._pieces))
        except StopIteration:
            return b""
        except BaseException as error:
            self.error = error
            raise
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)


class _Output:
    """What the encryption writes to; keeps the error that the encryption would turn into its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _encrypt(content: _Content, file: BinaryIO, keys: Keys) -> None:
    output = _Output(file)
    try:
        pyrage.encrypt_io(content, output, list(keys.recipients))
    except (pyrage.EncryptError, OSError):
        raise content.error or output.error or AssertionError("encryption failed by itself") from None
    if output.error is not None:
        # The library says nothing where its last write failed.
        raise output.error


def _tar(manifest: Manifest, dumps: Iterable[Dump]) -> Iterator[bytes]:
    at = int(manifest.made_at.timestamp())
    yield from _member(MANIFEST, manifest.dump(), at)
    checksums: dict[str, dict[str, str | int]] = {}
    for name, pieces in dumps:
        digest, size = hashlib.sha256(), 0
        for number, part in enumerate(_parts(pieces())):
            digest.update(part)
            size += len(part)
            yield from _member(f"{name}/{number:06}", part, at)
        checksums[name] = {"sha256": digest.hexdigest(), "bytes": size}
    yield from _member(CHECKSUMS, json.dumps(checksums).encode(), at)
    yield _END_OF_TAR


def _member(name: str, content: bytes, at: int) -> Iterator[bytes]:
    head = tarfile.TarInfo(name)
    head.size, head.mtime, head.mode = len(content), at, 0o600
    yield head.tobuf()
    yield content
    yield bytes(-len(content) % tarfile.BLOCKSIZE)


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        while len(gathered) >= PART_BYTES:
            yield bytes(gathered[:PART_BYTES])
            del gathered[:PART_BYTES]
    if gathered:
        yield bytes(gathered)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- reading --------------------------------------------------------------------------------------------------------


class Opened:
    """An archive while it is read, once, from front to end."""

    def __init__(self, tar: tarfile.TarFile, decrypted: _Decrypted) -> None:
        self._tar = tar
        self._decrypted = decrypted
        with decrypted.blamed():
            self.manifest = self._read_manifest()

    def dumps(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(name, its bytes) of each dump. All is proven only once this has come to its end: NotProven otherwise."""
        found: dict[str, dict[str, str | int]] = {}
        said: object = None
        with self._decrypted.blamed():
            members = groupby(iter(self._tar.next, None), key=lambda part: part.name.rpartition("/")[0] or part.name)
            for name, parts in members:
                pieces = (block for part in parts for block in self._content(part))
                if name == CHECKSUMS:
                    said = json.loads(b"".join(pieces))
                    continue
                measured = _Measured(pieces)
                yield name, measured
                # What the reader left unread counts too.
                for _ in measured:
                    pass
                found[name] = measured.checksum()
            self._decrypted.finish()
            if found != said:
                raise NotProven(["the dumps in the archive are not those that its checksums name"])

    def _read_manifest(self) -> Manifest:
        first = self._tar.next()
        if first is None or first.name != MANIFEST:
            raise NotProven(["the archive does not begin with a manifest"])
        return Manifest.load(b"".join(self._content(first)))

    def _content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        with self._decrypted.blamed():
            file = self._tar.extractfile(member)
            if file is None:
                raise NotProven([f"{member.name} in the archive is not a file"])
            while block := file.read(BLOCK_BYTES):
                yield block


class _Measured:
    """Bytes that are counted and digested as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self._bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._digest.update(piece)
        self._bytes += len(piece)
        return piece

    def checksum(self) -> dict[str, str | int]:
        return {"sha256": self._digest.hexdigest(), "bytes": self._bytes}


@contextlib.contextmanager
def opened(path: Path, keys: Keys) -> Iterator[Opened]:
    """The archive, with its manifest read. Raises CouldNot where the file can't be read, NotProven where it is bad."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise CouldNot(f"{path}: can't be read ({error.strerror})") from error
    with file:
        decrypted = _Decrypted(file, keys)
        try:
            with decrypted.blamed():
                tar = tarfile.open(fileobj=decrypted.pipe, mode="r|", bufsize=BLOCK_BYTES)  # noqa: SIM115  # closed below
            with tar:
                yield Opened(tar, decrypted)
        finally:
            decrypted.close()


def manifest_of(path: Path, keys: Keys) -> Manifest:
    with opened(path, keys) as archive:
        return archive.manifest


class _Decrypted:
    """The decrypted bytes, through a pipe: the library pushes, tar pulls."""

    def __init__(self, file: BinaryIO, keys: Keys) -> None:
        reading, writing = os.pipe()
        self.pipe = os.fdopen(reading, "rb", buffering=BLOCK_BYTES)
        self._name = Path(file.name).name
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._decrypt, args=(file, writing, keys), daemon=True)
        self._thread.start()

    def _decrypt(self, file: BinaryIO, writing: int, keys: Keys) -> None:
        try:
            with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
                pyrage.decrypt_io(file, pipe, list(keys.identities))
        except (pyrage.DecryptError, OSError) as error:
            self._problem = _explained(str(error))

    def finish(self) -> None:
        """Waits for the end of the file, and raises NotProven unless it is the end that was encrypted."""
        while self.pipe.read(BLOCK_BYTES):
            pass
        self._thread.join()
        if self._problem is not None:
            raise NotProven([f"{self._name}: {self._problem}"])

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """A stream that broke off shows first as something missing in the tar; the reason is the decryption's."""
        try:
            yield
        except (tarfile.TarError, ValueError) as error:
            self.finish()
            raise NotProven([f"{self._name} is encrypted, but it is no archive of the desk ({error})"]) from error
        except NotProven:
            self.finish()
            raise

    def close(self) -> None:
        # First the pipe: that ends a thread that waits to write into it.
        self.pipe.close()
        self._thread.join()


def _explained(reason: str) -> str:
    if "No matching keys" in reason:
        return "the key does not open it: it was made for another key, or its beginning is damaged"
    if "Header" in reason or "fill whole buffer" in reason:
        return f"it is no archive of the desk, or its beginning is damaged ({reason})"
    return f"it is damaged or cut short ({reason})"
