"""The guard's answer about one candidate."""

from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Reason", "Verdict", "Weighed", "accept", "reject"]


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


def accept(reason: Reason, evidence: str, confidence: float = 1.0) -> Verdict:
    """The verdict that lets a candidate answer."""
    return Verdict(True, reason, evidence, confidence)


def reject(reason: Reason, evidence: str, confidence: float = 0.0) -> Verdict:
    """The verdict that refuses a candidate."""
    return Verdict(False, reason, evidence, confidence)
