"""The guard on questions over databases nobody trained it on, through the cache and the real model."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from medha_core import Medha, OnnxEmbedder, Settings
from medha_core.embeddings.models import DEFAULT_MODEL, model_path

FILES = sorted((Path(__file__).parent / "data").glob("hard_cases*.txt"))
PARAPHRASE = "paraphrase"


class Case(NamedTuple):
    kind: str
    stored: str
    query: str
    asked: str
    right: str | None
    """The query that answers; None where the stored one must not and no other is known."""


def cases(path: Path) -> Iterator[Case]:
    stored = query = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, text = line.partition(" ")
        parts = [part.strip() for part in text.split(" | ")]
        if mark == "=":
            stored, query = parts
        elif mark == "+":
            yield Case(PARAPHRASE, stored, query, parts[0], query)
        elif mark == "-":
            yield Case(parts[0], stored, query, parts[1], parts[2] if len(parts) > 2 else None)


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


async def answer(embedder, case: Case) -> str | None:
    settings = Settings(_env_file=None, backend_type="memory")
    async with Medha("hard", embedder, settings=settings) as cache:
        await cache.store(case.stored, case.query)
        hit = await cache.search(case.asked)
        return hit.generated_query if hit else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_near_misses_are_refused_and_paraphrases_answered(embedder, path):
    wrong, seen, answered = [], Counter(), Counter()
    for case in cases(path):
        found = await answer(embedder, case)
        seen[case.kind] += 1
        if found is not None and found != case.right:
            wrong.append((case.kind, case.stored, case.asked, found))
        elif found is not None:
            answered[case.kind] += 1
    assert wrong == []
    assert seen[PARAPHRASE] >= 40
    assert sum(seen.values()) - seen[PARAPHRASE] >= 40
    assert answered[PARAPHRASE] >= 0.75 * seen[PARAPHRASE]
