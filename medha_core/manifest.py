"""`manifest.json`: what a snapshot holds, written when everything else is there."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xxhash import xxh3_128

from medha_core.directory import INDEX, MANIFEST
from medha_core.errors import SnapshotError, shown

FORMAT = 2
METRIC = "cosine"
NORMALISATION_1 = "unit vectors, questions 1"
NORMALISATION = NORMALISATION_1
"""What is done to vectors, and the version of the rules that `normalize_question` follows: texts that were
normalised by others would not be found again."""
_BLOCK = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CollectionInfo:
    """One collection of a snapshot."""

    name: str
    model: str
    """Fingerprint of the embedder; "" when it was not given."""
    dimension: int
    entries: int
    metric: str = METRIC
    normalisation: str = NORMALISATION_1
    """Since format 2; before there was one."""


@dataclass(frozen=True)
class FileInfo:
    """One file of a snapshot, with its length in bytes and its XXH3-128 in hexadecimal."""

    name: str
    """Below the snapshot, with "/" between folders."""
    bytes: int
    xxh3_128: str


@dataclass(frozen=True)
class Manifest:
    """The whole of `manifest.json`."""

    created: str
    library: str
    collections: tuple[CollectionInfo, ...]
    files: tuple[FileInfo, ...]
    format: int = FORMAT

    @property
    def entries(self) -> int:
        return sum(collection.entries for collection in self.collections)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json` and wait until it is on disk."""
    with (directory / MANIFEST).open("wb") as file:
        file.write(_text(asdict(manifest)))
        file.flush()
        os.fsync(file.fileno())


def read_manifest(directory: Path) -> Manifest:
    """Raises `SnapshotError` when it is missing, damaged, or of a version that cannot be read."""
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
        body = json.loads(text)
    except OSError as error:
        raise SnapshotError(f"{directory} holds no snapshot: {MANIFEST}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, or brackets too deep
        raise SnapshotError(f"{path} is damaged: {error}") from error
    if not isinstance(body, dict):
        raise SnapshotError(f"{path} is no manifest: expected an object, got {type(body).__name__}")
    manifest = _checked(path, body)
    if text != _text(body):
        raise SnapshotError(f"{path} is damaged: it has more or fewer blanks than were written")
    return manifest


def _checked(path: Path, body: dict[str, Any]) -> Manifest:
    """Cases in this order: newer than we are, damaged, not ours, ours."""
    version, stored = body.get("format"), body.pop("checksum", None)
    if isinstance(version, int) and version > FORMAT and stored == _seal(body):
        raise SnapshotError(
            f"{path}: written in format {version} by a newer medha_core; this version reads up to {FORMAT}"
        )
    if stored != _seal(body):
        raise SnapshotError(f"{path} is damaged: its checksum is {_seal(body)}, and it says {stored}")
    try:
        for item in body["files"]:
            _check_name(path, item["name"])
        return Manifest(
            created=body["created"],
            library=body["library"],
            collections=tuple(CollectionInfo(**item) for item in body["collections"]),
            files=tuple(FileInfo(**item) for item in body["files"]),
            format=body["format"],
        )
    except (KeyError, TypeError) as error:
        raise SnapshotError(f"{path} is not a manifest of medha_core: {error}") from error


def _check_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
        raise SnapshotError(f"{path} lists {shown(name)}, which is no file below the snapshot")


def check_sizes(directory: Path, manifest: Manifest, *, derived: bool = True) -> None:
    """Refuse files that are missing or have another length, without reading them.

    Without `derived`, those are left out that can be made anew from the others.
    """
    for file in manifest.files:
        if not derived and PurePosixPath(file.name).parts[0] == INDEX:
            continue
        path = directory / file.name
        try:
            seen = path.stat().st_size
        except OSError as error:
            raise SnapshotError(
                f"{path}, which the manifest lists, cannot be read: {error.strerror}"
            ) from error
        if seen != file.bytes:
            raise SnapshotError(f"{path} is damaged: expected {file.bytes} bytes, got {seen}")


def check_checksums(directory: Path, manifest: Manifest, on_progress: Progress | None = None) -> None:
    """Read every file; raises `SnapshotError` for the first that is not what was written."""
    check_sizes(directory, manifest)
    total, done = sum(file.bytes for file in manifest.files), 0
    for file in manifest.files:
        before = done
        seen = checksum(directory / file.name, lambda n, b=before: on_progress and on_progress(b + n, total))
        done += file.bytes
        if seen != file.xxh3_128:
            raise SnapshotError(
                f"{directory / file.name} is damaged: expected checksum {file.xxh3_128}, got {seen}"
            )


def describe(directory: Path, path: Path) -> FileInfo:
    """The manifest's line for a file of the snapshot."""
    return FileInfo(path.relative_to(directory).as_posix(), path.stat().st_size, checksum(path))


def checksum(path: Path, on_bytes: Callable[[int], object] = lambda _: None) -> str:
    """XXH3-128 of a file; it finds damage, not forgery."""
    digest, done = xxh3_128(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            on_bytes(done)
    return digest.hexdigest()


def _text(body: dict[str, Any]) -> bytes:
    """What the file holds, to the byte."""
    text = json.dumps({**body, "checksum": _seal(body)}, indent=2, ensure_ascii=True)
    return f"{text}\n".encode("ascii")


def _seal(body: dict[str, Any]) -> str:
    return xxh3_128(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
