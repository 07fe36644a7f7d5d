"""What the commands print: answers on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from medha_core.errors import ConfigurationError, MedhaError, shown
from medha_core.settings import Settings

OK, MISS, ERROR = 0, 1, 2

_PIPE_WIDTH = 140
"""Columns of a table that is not shown on a terminal, where nobody's window limits it."""

_MAY_HOLD_SECRETS = ("url", "hosts")
"""Ends of the names of settings that are plain text, and may have a password in it."""

OnProgress = Callable[[int, int], None]


def console() -> Console:
    """Standard output; rich itself honours NO_COLOR and leaves colours out of pipes."""
    sized = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if sized else _PIPE_WIDTH)


def emit(text: str) -> None:
    print(text)


def emit_json(value: dict[str, Any]) -> None:
    """ASCII only, so that no terminal encoding can break it."""
    print(json.dumps(value, indent=2, default=str))


def note(text: str) -> None:
    """One line for a person, beside the answer."""
    print(f"medha: {' '.join(text.split())}", file=sys.stderr)


def settings_problem(error: ValidationError) -> str:
    """What is wrong with the settings, in one line; what was given is shown unless it may be a secret."""
    return "; ".join(_setting_problem(item) for item in error.errors())


def _setting_problem(item: ErrorDetails) -> str:
    if not item["loc"]:
        return item["msg"]
    name = str(item["loc"][0])
    field = Settings.model_fields.get(name)
    secret = field is None or "Secret" in str(field.annotation) or name.endswith(_MAY_HOLD_SECRETS)
    seen = "" if secret else f", got {shown(item['input'])}"
    return f"settings: {'.'.join(map(str, item['loc']))}: {item['msg']}{seen}"


def check_target(option: str, target: Path) -> None:
    """Refuse, before the work is done, a file to write that cannot be one. Raises `ConfigurationError`."""
    if target.is_dir():
        raise ConfigurationError(f"{option}: expected the name of a file, got the directory {target}")
    if not target.absolute().parent.is_dir():
        raise ConfigurationError(f"{option}: expected a file in a directory that is there, got {target}")


@contextmanager
def writing(option: str, target: Path) -> Iterator[None]:
    """Translate failures of writing the file that an option names."""
    try:
        yield
    except OSError as error:
        raise MedhaError(f"{option}: cannot write {target}: {error.strerror}") from error


def download(label: str) -> AbstractContextManager[OnProgress]:
    """`progress` counting bytes."""
    return _bar(label, DownloadColumn())


def progress(label: str) -> AbstractContextManager[OnProgress]:
    """A block with `(done, total) -> None`, which moves a bar on standard error; only on a terminal."""
    return _bar(label, MofNCompleteColumn())


@contextmanager
def _bar(label: str, count: ProgressColumn) -> Iterator[OnProgress]:
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
