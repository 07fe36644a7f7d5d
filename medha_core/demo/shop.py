"""The sample: a shop database, questions with their SQL, and what a cache must do with other questions."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

_HERE = files("medha_core.demo")


class Pair(NamedTuple):
    """A question of the sample and the SQL that answers it."""

    question: str
    generated_query: str


class Paraphrase(NamedTuple):
    """A question in other words and the stored question whose SQL it must get."""

    question: str
    stored: str


class MustMiss(NamedTuple):
    """A question nobody stored, its near neighbour that somebody did, and what differs between them."""

    question: str
    near: str
    differs: str


def pairs() -> list[Pair]:
    """The stored questions, each with SQL for `open_shop()`."""
    return [Pair(**row) for row in _rows("pairs.jsonl")]


def paraphrases() -> list[Paraphrase]:
    """Questions that must be answered with the SQL of the question they mean."""
    return [Paraphrase(**row) for row in _rows("paraphrases.jsonl")]


def must_miss() -> list[MustMiss]:
    """Questions that must not be answered, however near a stored one is."""
    return [MustMiss(**row) for row in _rows("must_miss.jsonl")]


def pairs_file() -> AbstractContextManager[Path]:
    """`pairs()` as a file for `warm_from_file`, which exists inside the `with` block."""
    return as_file(_HERE / "pairs.jsonl")


def open_shop() -> sqlite3.Connection:
    """A new in-memory SQLite database of the shop; it refuses every statement that writes."""
    connection = sqlite3.connect(":memory:")
    connection.executescript((_HERE / "shop.sql").read_text(encoding="utf-8"))
    connection.execute("PRAGMA query_only = ON")
    return connection


def _rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (_HERE / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
