"""What the commands print: answers on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pydantic import ValidationError
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

OK, MISS, ERROR = 0, 1, 2

_PIPE_WIDTH = 140
"""Columns of a table that is not shown on a terminal, where nobody's window limits it."""

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
    """What is wrong with the settings, in one line."""
    return "; ".join(
        f"settings: {'.'.join(map(str, item['loc']))}: {item['msg']}" if item["loc"] else item["msg"]
        for item in error.errors()
    )


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
