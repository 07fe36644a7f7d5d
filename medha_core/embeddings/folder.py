"""A converted model on disk: graphs, weights, tokenizer, and a manifest written last."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from medha_core.errors import EmbeddingError

MANIFEST = "manifest.json"
PARTIAL = ".partial-"  # begins the name of a folder that is being written
FORMAT = 1  # of the manifest
RECIPE = 1  # of the conversion: raise it when the numbers that a converted graph computes change

_ABANDONED_SECONDS = 86_400


@dataclass(frozen=True)
class ModelFolder:
    """What the manifest says. `files` maps a file's name to its size in bytes and sha256."""

    path: Path
    name: str
    dimension: int
    max_tokens: int
    pooling: str
    weights_sha256: str
    recipe: int
    files: dict[str, tuple[int, str]]

    def fingerprint(self, variant: str) -> str:
        """Equal fingerprints mean comparable vectors."""
        parts = (self.name, variant, f"recipe{self.recipe}", self.weights_sha256[:16])
        return "/".join((*parts, str(self.dimension), self.pooling, "unit"))

    def check_sizes(self) -> None:
        """Quick check that nothing is missing or cut off. Raises `EmbeddingError`."""
        for name, (size, _) in self.files.items():
            file = self.path / name
            seen = file.stat().st_size if file.is_file() else None
            if seen != size:
                raise EmbeddingError(
                    f"model file {file}: expected {size} bytes, got {seen}; {_again(self.name)}"
                )

    def check_sums(self) -> None:
        """Read every file and compare its sha256. Raises `EmbeddingError`."""
        self.check_sizes()
        for name, (_, expected) in self.files.items():
            seen = sha256(self.path / name)
            if seen != expected:
                raise EmbeddingError(
                    f"model file {self.path / name}: expected sha256 {expected}, got {seen}; "
                    + _again(self.name)
                )


def open_folder(path: Path) -> ModelFolder:
    """Read and check a manifest. Raises `EmbeddingError` when it is missing or damaged."""
    try:
        fields = json.loads((path / MANIFEST).read_text("utf-8"))
        if fields.pop("format") != FORMAT:
            raise EmbeddingError(f"{path / MANIFEST}: written by another version of this library")
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in fields.pop("files").items()}
        folder = ModelFolder(path=path, files=files, **fields)
    except FileNotFoundError as error:
        raise EmbeddingError(f"no model in {path}: {MANIFEST} is missing") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmbeddingError(f"{path / MANIFEST} cannot be read: {error}") from error
    folder.check_sizes()
    return folder


def write_manifest(path: Path, **fields: object) -> None:
    """Describe all files of `path`, force them to the disk, and write the manifest last."""
    files = {file.name: (file.stat().st_size, sha256(file)) for file in sorted(path.iterdir())}
    for name in files:
        _sync(path / name)
    folder = asdict(ModelFolder(path=path, files=files, **fields))  # type: ignore[arg-type]
    del folder["path"]
    (path / MANIFEST).write_text(json.dumps({"format": FORMAT, **folder}, indent=1), "utf-8")
    _sync(path / MANIFEST)


@contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends, or vanishes when it fails.

    When another process has put a folder there meanwhile, that one stays, unless
    `replace` says that what is there is damaged. Raises `EmbeddingError` when the
    disk cannot be written.
    """
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        staging = Path(mkdtemp(prefix=PARTIAL, dir=target.parent))
        yield staging
        if replace:
            rmtree(target)
        _publish(staging, target)
    except OSError as error:
        raise EmbeddingError(f"the model cannot be written to {target}: {error}") from error
    finally:
        if staging is not None:
            rmtree(staging, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """What a killed process left behind; younger folders may belong to a running one."""
    for folder in parent.glob(f"{PARTIAL}*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            rmtree(folder, ignore_errors=True)


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _publish(staging: Path, target: Path) -> None:
    staging.chmod(0o755)  # mkdtemp makes it private
    try:
        staging.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():
            raise


def _sync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _again(name: str) -> str:
    return f"fetch it again with: medha models pull {name}"
