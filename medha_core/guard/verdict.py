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

    @property
    def reasons(self) -> Sequence[Reason]:
        """Of the verdicts on the queries as they are stored."""

    def verdict(self, place: int, *, exchanged: bool = False) -> Verdict:
        """On a query as it is stored, or with other values; the latter of `exchanges` only."""

    def rival(self, place: int, taken: Container[int]) -> float | None:
        """The highest confidence among candidates of another query shape; None where there are none.

        Of those in `taken`, of the verdict on their query with other values.
        """


class Judged:
    """`Judgements` made of what is said of each candidate, and its query's shape."""

    def __init__(self, found: Sequence[Weighed], shapes: Sequence[Any]):
        self._found, self._shapes = found, shapes
        self.accepted = [place for place, one in enumerate(found) if one.verdict.accepted]
        self.reasons = [one.verdict.reason for one in found]
        self.same = next((place for place in self.accepted if self.reasons[place] is Reason.SAME), None)
        self.exchanges = {place: one.fitted for place, one in enumerate(found) if one.exchanged is not None}

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
