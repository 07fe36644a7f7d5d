"""The guard's answer about one candidate."""

from enum import Enum
from typing import NamedTuple

__all__ = ["Reason", "Verdict", "accept", "reject"]


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


class Verdict(NamedTuple):
    """Whether a stored question may answer the one asked, and why."""

    accepted: bool
    reason: Reason
    evidence: str
    """In words, for people."""
    confidence: float = 1.0
    """The verifier's estimate that the answer is right, 0..1; 1 where no estimate was needed."""


def accept(reason: Reason, evidence: str, confidence: float = 1.0) -> Verdict:
    """The verdict that lets a candidate answer."""
    return Verdict(True, reason, evidence, confidence)


def reject(reason: Reason, evidence: str, confidence: float = 0.0) -> Verdict:
    """The verdict that refuses a candidate."""
    return Verdict(False, reason, evidence, confidence)
