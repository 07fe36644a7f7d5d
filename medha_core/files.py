"""Files of question and query pairs: where they may lie, how JSON and JSONL are read, how one is written."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from medha_core.errors import ArgumentTypeError, ArgumentValueError, MedhaError, shown
from medha_core.settings import Settings


def checked_path(path: str | Path, settings: Settings) -> Path:
    """The resolved path of an existing file that the settings allow to be read.

    Raises `ArgumentValueError` for a path outside `allowed_file_dir`,
    `MedhaError` for a file that is missing or over `max_file_size_mb`.
    """
    resolved = allowed_path(path, settings)
    if resolved.is_dir():
        raise MedhaError(f"{path}: expected a file, got a directory")
    if not resolved.is_file():
        raise MedhaError(f"{path}: no such file")
    megabytes = resolved.stat().st_size / 2**20
    if megabytes > settings.max_file_size_mb:
        raise MedhaError(f"{path}: {megabytes:.1f} MB is over max_file_size_mb ({settings.max_file_size_mb})")
    return resolved


def allowed_path(path: str | Path, settings: Settings) -> Path:
    """The resolved path, if it lies where the settings allow it. Raises `ArgumentValueError`."""
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError("path", "str or Path", path)
    try:
        resolved = Path(path).resolve()
    except ValueError as error:
        raise ArgumentValueError("path", "a path without NUL characters and lone surrogates", path) from error
    if settings.allowed_file_dir is not None:
        allowed = Path(settings.allowed_file_dir).resolve()
        if not resolved.is_relative_to(allowed):
            raise ArgumentValueError("path", f"a file below allowed_file_dir {allowed}", str(resolved))
    return resolved


class FileEntry(dict[str, Any]):
    """An object read from a file, with the place in it."""

    __slots__ = ("where",)

    def __init__(self, item: Mapping[str, Any], where: str):
        super().__init__(item)
        self.where = where


class LinesFile:
    """A JSONL file that is there when all of it is written, and before only under another name.

    `with LinesFile(path) as file: file.write(items)`. Failures are `MedhaError`.
    """

    def __init__(self, path: Path):
        self._path = path
        self._unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")

    def __enter__(self) -> Self:
        with self._translated():
            self._file = self._unfinished.open("w", encoding="utf-8", newline="\n")
        return self

    def write(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Add a line for each item."""
        text = "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in items)
        with self._translated():
            self._file.write(text)

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        with self._translated():
            try:
                if error is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            finally:
                self._file.close()
                if error is not None:
                    self._unfinished.unlink(missing_ok=True)
            if error is None:
                self._unfinished.replace(self._path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MedhaError(f"{self._path}: cannot be written: {error.strerror}") from error


def read_text(path: str | Path, settings: Settings) -> str:
    """The text of a file that the settings allow to be read, UTF-8."""
    try:
        return checked_path(path, settings).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MedhaError(f"{path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise MedhaError(f"{path}: cannot be read: {error.strerror}") from error


def read_entries(path: str | Path, settings: Settings) -> list[FileEntry]:
    """The objects of a JSON array or of a JSONL file, UTF-8. `MedhaError` names the line of a fault."""
    text = read_text(path, settings)
    if text.lstrip().startswith("["):
        return [_object(item, f"{path}, item {i}") for i, item in enumerate(_parsed(text, path))]
    return list(_lines(text, path))


def _parsed(text: str, path: str | Path) -> list[Any]:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MedhaError(f"{path}, line {error.lineno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise MedhaError(f"{path}: not usable JSON: {error}") from error


def _lines(text: str, path: str | Path) -> Iterator[FileEntry]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                item = json.loads(line)
            except json.JSONDecodeError as error:
                raise MedhaError(f"{path}, line {number}: not valid JSON: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise MedhaError(f"{path}, line {number}: not usable JSON: {error}") from error
            yield _object(item, f"{path}, line {number}")


def _object(item: Any, where: str) -> FileEntry:
    if not isinstance(item, dict):
        raise MedhaError(f"{where}: expected an object with question and generated_query, got {shown(item)}")
    return FileEntry(item, where)
