"""`medha invalidate`, `invalidate-collection`, `expire`, `dedup`, `feedback`: entries go, or are judged."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from medha_core import ConfigurationError, Medha
from medha_core.cli.options import AsJson, Collection, Kept
from medha_core.cli.output import MISS, OK, emit, emit_json
from medha_core.cli.recorded import open_recorded

T = TypeVar("T")

app = typer.Typer()


class Strategy(str, Enum):
    """Which of several entries with one query stays."""

    LATEST = "keep_latest"
    FIRST = "keep_first"


def _done(path: Path | None, collection: str | None, act: Callable[[Medha], Awaitable[T]]) -> tuple[T, str]:
    """What an act on the opened cache gave, and the collection's name."""
    cache = open_recorded(path, collection, mode="r+")

    async def run() -> T:
        async with cache:
            return await act(cache)

    return asyncio.run(run()), cache.collection_name


@app.command("invalidate")
def invalidate_command(
    question: str, collection: Collection = None, path: Kept = None, json: AsJson = False
) -> None:
    """Forget every entry stored under QUESTION; exit code 1 when there is none."""
    removed, name = _done(path, collection, lambda cache: cache.invalidate(question))
    if json:
        emit_json({"removed": removed, "question": question, "collection": name})
    else:
        emit("Removed." if removed else "Not found.")
    raise typer.Exit(OK if removed else MISS)


@app.command("invalidate-collection")
def invalidate_collection_command(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    collection: Collection = None,
    path: Kept = None,
    json: AsJson = False,
) -> None:
    """Forget everything in a collection."""
    if not yes and not _agreed(collection):
        raise ConfigurationError("nothing was forgotten: --yes says that everything in the collection may go")
    count, name = _done(path, collection, lambda cache: cache.invalidate_collection())
    _say(json, f"{count} entries of collection {name!r} removed", removed=count, collection=name)


def _agreed(collection: str | None) -> bool:
    """Whether a person at a terminal says so."""
    if not sys.stdin.isatty():
        return False
    which = "the collection" if collection is None else f"collection {collection!r}"
    return typer.confirm(f"Forget everything in {which}?", default=False, err=True)


@app.command("expire")
def expire_command(collection: Collection = None, path: Kept = None, json: AsJson = False) -> None:
    """Delete what has expired. It answers nothing in any case: this frees its room."""
    count, name = _done(path, collection, lambda cache: cache.expire())
    _say(json, f"{count} expired entries removed", removed=count, collection=name)


@app.command("dedup")
def dedup_command(
    strategy: Annotated[Strategy, typer.Option(help="Which one stays.")] = Strategy.LATEST,
    collection: Collection = None,
    path: Kept = None,
    json: AsJson = False,
) -> None:
    """Keep one of the entries that have the same query and metadata."""
    count, name = _done(path, collection, lambda cache: cache.dedup_collection(strategy=strategy.value))
    _say(json, f"{count} duplicates removed", removed=count, collection=name)


@app.command("feedback")
def feedback_command(
    question: str,
    correct: Annotated[
        bool | None, typer.Option("--correct/--incorrect", help="Whether the answer was right.")
    ] = None,
    entry_id: Annotated[
        str | None, typer.Option(help="The entry that answered, as search --json names it.")
    ] = None,
    collection: Collection = None,
    path: Kept = None,
    json: AsJson = False,
) -> None:
    """Say whether the answer to QUESTION was right; exit code 1 when there is no such entry."""
    if correct is None:
        raise ConfigurationError("feedback: expected --correct or --incorrect, got neither")
    counted, name = _done(
        path, collection, lambda cache: cache.feedback(question, correct, entry_id=entry_id)
    )
    if json:
        emit_json({"counted": counted, "question": question, "correct": correct, "collection": name})
    else:
        emit("Counted." if counted else "Not found.")
    raise typer.Exit(OK if counted else MISS)


def _say(as_json: bool, text: str, **fields: object) -> None:
    if as_json:
        emit_json(fields)
    else:
        emit(text)
