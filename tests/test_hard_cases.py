"""The guard on questions over databases nobody trained it on, through the cache and the real model.

Each case is asked of a cache that holds its entry only, where nothing is learnt and no rival is near, and of
one that holds all entries of its database. Lines with `!` in the files are known to be answered wrongly.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pytest

from medha_core import Medha, OnnxEmbedder, Settings
from medha_core.embeddings.models import DEFAULT_MODEL, model_path

FILES = sorted((Path(__file__).parent / "data").glob("hard_cases*.txt"))
PARAPHRASE = "paraphrase"


class Case(NamedTuple):
    database: str
    kind: str
    stored: str
    query: str
    asked: str
    right: str | None
    """The query that answers; None where the stored one must not and no other is known."""


def cases(path: Path) -> Iterator[Case]:
    database = stored = query = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, text = line.partition(" ")
        parts = [part.strip() for part in text.split(" | ")]
        if mark == "##":
            database = text
        elif mark == "=":
            stored, query = parts
        elif mark == "+":
            yield Case(database, PARAPHRASE, stored, query, parts[0], query)
        elif mark == "-":
            yield Case(database, parts[0], stored, query, parts[1], parts[2] if len(parts) > 2 else None)


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("holds", ["one entry", "its database"])
async def test_near_misses_are_refused_and_paraphrases_answered(embedder, path, holds):
    wrong, seen, answered = [], Counter(), Counter()
    for group in groups(path, by_database=holds == "its database"):
        async for case, found in answers(embedder, group):
            seen[case.kind] += 1
            if found is not None and found != case.right:
                wrong.append((case.kind, case.stored, case.asked, found))
            elif found is not None:
                answered[case.kind] += 1
    assert wrong == []
    assert seen[PARAPHRASE] >= 20
    assert sum(seen.values()) - seen[PARAPHRASE] >= 40
    assert answered[PARAPHRASE] >= 0.75 * seen[PARAPHRASE]


def groups(path: Path, *, by_database: bool) -> Iterator[list[Case]]:
    """The cases that one cache is asked."""
    key = attrgetter("database" if by_database else "stored")
    for _, group in groupby(cases(path), key):
        yield list(group)


async def answers(embedder, group: list[Case]) -> AsyncIterator[tuple[Case, str | None]]:
    settings = Settings(_env_file=None, backend_type="memory", l1_cache_max_size=0)
    async with Medha("hard", embedder, settings=settings) as cache:
        for stored, query in dict.fromkeys((case.stored, case.query) for case in group):
            await cache.store(stored, query)
        for case in group:
            hit = await cache.search(case.asked)
            yield case, hit.generated_query if hit else None
