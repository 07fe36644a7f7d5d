"""Load the sample into a cache, ask it, run the SQL it returns, and judge every answer."""

import sqlite3
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

from medha_core import BaseEmbedder, CacheHit, Medha, Settings
from medha_core.demo.shop import must_miss, open_shop, pairs, pairs_file, paraphrases


class Verdict(StrEnum):
    """What an answer is worth."""

    RIGHT = "right"
    HONEST_MISS = "honest miss"
    UNANSWERED = "unanswered"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, what the cache said, and the first row its SQL gave."""

    question: str
    expected_query: str | None
    """None where the only right answer is a miss."""
    hit: CacheHit
    milliseconds: float
    first_row: tuple[object, ...] | None

    @property
    def verdict(self) -> Verdict:
        if self.hit and self.hit.generated_query == self.expected_query:
            return Verdict.RIGHT
        if self.hit:
            return Verdict.WRONG
        return Verdict.UNANSWERED if self.expected_query else Verdict.HONEST_MISS


@dataclass(frozen=True, slots=True)
class Report:
    """All answers of one run."""

    entries: int
    answers: tuple[Answer, ...]

    def count(self, verdict: Verdict) -> int:
        return sum(answer.verdict is verdict for answer in self.answers)

    @property
    def median_ms(self) -> float:
        return statistics.median(answer.milliseconds for answer in self.answers)

    @property
    def as_expected(self) -> bool:
        """Whether each paraphrase was answered rightly and each of the others missed."""
        return not self.count(Verdict.WRONG) and not self.count(Verdict.UNANSWERED)


async def run_demo(
    embedder: BaseEmbedder, *, on_progress: Callable[[int, int], None] | None = None
) -> Report:
    """Warm a cache in memory with the sample and ask it, with the library's default settings.

    `on_progress(done, total)` is called while the sample is stored. Raises what the embedder raises.
    """
    # The defaults, whatever the environment says, so that everybody sees the same.
    defaults = Settings.model_construct()
    shop = open_shop()
    try:
        async with Medha("shop", embedder, settings=defaults) as medha:
            with pairs_file() as path:
                entries = await medha.warm_from_file(path, on_progress=on_progress)
            answers = [await _ask(medha, shop, question, query) for question, query in _questions()]
    finally:
        shop.close()
    return Report(entries, tuple(answers))


def _questions() -> Iterator[tuple[str, str | None]]:
    """Each question with the query it must get, or None where it must miss."""
    stored = {pair.question: pair.generated_query for pair in pairs()}
    for paraphrase in paraphrases():
        yield paraphrase.question, stored[paraphrase.stored]
    for stranger in must_miss():
        yield stranger.question, None


async def _ask(medha: Medha, shop: sqlite3.Connection, question: str, expected: str | None) -> Answer:
    begin = perf_counter()
    hit = await medha.search(question)
    milliseconds = (perf_counter() - begin) * 1000
    first_row = shop.execute(hit.generated_query).fetchone() if hit else None
    return Answer(question, expected, hit, milliseconds, first_row)
