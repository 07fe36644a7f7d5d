"""The guard's answer about one candidate."""

from collections.abc import Container, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

__all__ = ["Judged", "Judgements", "Reason", "Verdict", "Weighed", "accept", "reject"]


class Reason(str, Enum):
    """Why a candidate was accepted or rejected; stable, for statistics."""

    OFF = "off"
    SAME = "same"
    AGREES = "agrees"
    LEARNED = "learned"

    VALUE = "value"
    NUMBER = "number"
    DATE = "date"
    QUOTED = "quoted"
    IDENTIFIER = "identifier"
    OPERATOR = "operator"
    OPPOSITE = "opposite"
    INTERROGATIVE = "interrogative"
    STRANGER = "stranger"
    BINDING = "binding"
    PROJECTION = "projection"
    LANGUAGE = "language"
    STALE = "stale"
    KNOWN_OTHERWISE = "known_otherwise"
    AMBIGUOUS = "ambiguous"
    UNSURE = "unsure"

    ERROR_RATE = "error_rate"
    FEEDBACK = "feedback"
    JUDGE = "judge"


class Verdict(NamedTuple):
    """Whether a stored question may answer the one asked, and why."""

    accepted: bool
    reason: Reason
    evidence: str
    """In words, for people."""
    confidence: float = 1.0
    """The verifier's estimate that the answer is right, 0..1; 1 where no estimate was needed."""


class Weighed(NamedTuple):
    """What is said of one candidate."""

    verdict: Verdict
    """On its query as it is stored."""
    exchanged: Verdict | None = None
    """On its query with other values, where there is one way to exchange them."""
    fitted: Any = None
    """That way: at least `spellings`, for each slot how the query will spell its value."""


class Judgements(Protocol):
    """What is said of the candidates of one search, each known by its place among them."""

    @property
    def accepted(self) -> Sequence[int]:
        """Candidates whose query is accepted as it is stored, in their order."""

    @property
    def same(self) -> int | None:
        """The first of these that says the very same words."""

    @property
    def exchanges(self) -> Mapping[int, Any]:
        """By candidate that may answer with other values: the one way to exchange them (`Weighed.fitted`)."""

    def __len__(self) -> int: ...

    def refused(self, least: float, spoken: Container[int]) -> tuple[list[str], float | None, list[int]]:
        """Of the candidates but those in `spoken`, by the verdicts on their queries as they are stored.

        The reasons and the highest score of those that score at least `least`; the places of the others.
        """

    def verdict(self, place: int, *, exchanged: bool = False) -> Verdict:
        """On a query as it is stored, or with other values; the latter of `exchanges` only."""

    def rival(self, place: int, taken: Container[int]) -> float | None:
        """The highest confidence among candidates of another query shape; None where there are none.

        Of those in `taken`, of the verdict on their query with other values.
        """


class Judged:
    """`Judgements` made of what is said of each candidate, and its query's shape."""

    def __init__(self, found: Sequence[Weighed], shapes: Sequence[Any], scores: Sequence[float]):
        self._found, self._shapes, self._scores = found, shapes, scores
        self.accepted = [place for place, one in enumerate(found) if one.verdict.accepted]
        same = (place for place in self.accepted if found[place].verdict.reason is Reason.SAME)
        self.same = next(same, None)
        self.exchanges = {place: one.fitted for place, one in enumerate(found) if one.exchanged is not None}

    def __len__(self) -> int:
        return len(self._found)

    def refused(self, least: float, spoken: Container[int]) -> tuple[list[str], float | None, list[int]]:
        silent = [place for place in range(len(self)) if place not in spoken]
        high = [place for place in silent if self._scores[place] >= least]
        best = max((self._scores[place] for place in high), default=None)
        others = [place for place in silent if self._scores[place] < least]
        return [self._found[place].verdict.reason.value for place in high], best, others

    def verdict(self, place: int, *, exchanged: bool = False) -> Verdict:
        one = self._found[place]
        return one.exchanged if exchanged and one.exchanged is not None else one.verdict

    def rival(self, place: int, taken: Container[int]) -> float | None:
        others = [other for other, shape in enumerate(self._shapes) if shape != self._shapes[place]]
        return max((self.verdict(one, exchanged=one in taken).confidence for one in others), default=None)


def accept(reason: Reason, evidence: str, confidence: float = 1.0) -> Verdict:
    """The verdict that lets a candidate answer."""
    return Verdict(True, reason, evidence, confidence)


def reject(reason: Reason, evidence: str, confidence: float = 0.0) -> Verdict:
    """The verdict that refuses a candidate."""
    return Verdict(False, reason, evidence, confidence)
