"""The guard on the compiled core: the same verdicts as `Guard` gives, some hundred times faster.

`Guard` and what it imports are the readable version and the oracle of the tests. Which reader
reads a question, and its query where it is stored, is decided in `compiled_reader`.
"""

from collections.abc import Container
from typing import NamedTuple

from medha_core import _core
from medha_core._core import CandidateJudge, GuardEvidence, ReadQuestion
from medha_core.errors import ArgumentValueError
from medha_core.guard.compiled_reader import Reader, reader_of, shared_reader
from medha_core.guard.judge import FAR, LEVELS, Reading
from medha_core.guard.verdict import Judged, Judgements, Reason, Verdict, Weighed, accept
from medha_core.guard.verifier import Verifier, shipped
from medha_core.reading.lexicon import Lexicon

__all__ = ["CompiledGuard", "Fitted"]

_REASONS = [
    Reason(name)
    for name in (
        "same agrees learned value number date quoted identifier operator opposite interrogative stranger "
        "binding projection language stale known_otherwise unsure"
    ).split()
]
"""In the order of ext/guard_judge.hpp."""
_NAMES = [reason.value for reason in _REASONS]


class Fitted(NamedTuple):
    """One way to put the asked question's values into the slots of a stored query."""

    asked: tuple[tuple[int, int, int], ...]
    """Slot, first and last word of each value."""
    spellings: tuple[str, ...]
    """For each slot how the query will spell its value."""
    exchanged: int
    """How many values differ from the stored ones."""


class CompiledGuard:
    """Decides whether a stored question may answer. Pure; all questions are `ReadQuestion`s."""

    def __init__(
        self, level: str = "balanced", *, lexicon: Lexicon | None = None, verifier: Verifier | None = None
    ):
        if level != "off" and level not in LEVELS:
            raise ArgumentValueError("level", "'strict', 'balanced' or 'off'", level)
        self.level = level
        self.limits = LEVELS.get(level)
        self._given_lexicon = lexicon
        self._given_verifier = verifier
        self._made: CandidateJudge | None = None

    def __repr__(self) -> str:
        return f"CompiledGuard({self.level!r})"

    @property
    def _reader(self) -> Reader:
        # Made when first needed: reading a lexicon takes some fifty milliseconds.
        return reader_of(self._given_lexicon) if self._given_lexicon else shared_reader()

    @property
    def _judge(self) -> CandidateJudge:
        # Made when first needed, like the lexicon and the verifier: reading them takes a while.
        if self._made is None:
            verifier, limits = self._given_verifier or shipped(), self.limits or LEVELS["strict"]
            self._made = CandidateJudge(
                self._reader.core,
                verifier.trees,
                verifier.base,
                floor=limits.floor,
                leftover=limits.leftover,
                other_noun=limits.other_noun,
            )
        return self._made

    def evidence(self) -> GuardEvidence:
        """Evidence without anything in it."""
        return GuardEvidence(self._reader.core)

    def features(self, question: str, query: str = "") -> ReadQuestion:
        """Read a question; with `query`, as the stored question of an entry."""
        read = self._reader.read(question)
        return self._reader.with_query(read, query) if query else read

    def alike(self, asked: ReadQuestion, learned: GuardEvidence) -> list[object]:
        """Entries that say the asked question's words with other values, whatever their vectors."""
        return learned.alike(asked)

    def judge(
        self,
        asked: ReadQuestion,
        stored: ReadQuestion,
        score: float,
        *,
        learned: GuardEvidence | None = None,
        margin: float = FAR,
        reading: Reading | None = None,
    ) -> Verdict:
        """The verdict on one candidate, as `Guard.judge` gives it."""
        if self.limits is None:
            return accept(Reason.OFF, "the guard is off")
        if not stored.is_stored:  # a question without a query
            stored = self._reader.with_query(stored, "")
        return _verdict(
            self._judge.judge(
                self.evidence() if learned is None else learned, asked, stored, score, margin, reading
            )
        )

    def judge_all(
        self,
        asked: ReadQuestion,
        stored: list[ReadQuestion],
        scores: list[float],
        learned: GuardEvidence,
        substitution: str,
    ) -> Judgements:
        """What is said of each candidate of one search."""
        if self.limits is None:
            off = [Weighed(accept(Reason.OFF, "the guard is off"))] * len(stored)
            return Judged(off, [one.shape for one in stored], scores)
        return _Judgements(self._judge.judge_all(learned, asked, stored, scores, substitution))


class _Judgements:
    """`Judgements` of the core: most are never asked for their words."""

    __slots__ = ("_core", "accepted", "exchanges", "rival", "same")

    def __init__(self, core: _core.Judgements):
        self._core, self.accepted, self.same, self.rival = core, core.accepted, core.same, core.rival
        self.exchanges = {place: Fitted(*fitted) for place, fitted in core.exchanges.items()}

    def __len__(self) -> int:
        return len(self._core)

    def refused(self, least: float, spoken: Container[int]) -> tuple[list[str], float | None, list[int]]:
        numbers, best, others = self._core.refused(least, spoken)
        return [_NAMES[number] for number in numbers], best, others

    def verdict(self, place: int, *, exchanged: bool = False) -> Verdict:
        return _verdict(self._core.verdict(place, exchanged))


def _verdict(told: tuple[bool, int, str, float]) -> Verdict:
    accepted, reason, evidence, confidence = told
    return Verdict(accepted, _REASONS[reason], evidence, confidence)
