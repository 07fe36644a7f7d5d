"""The guard: may this stored query answer the asked question?

The vector only proposes. Two questions that differ in a number, a quoted
literal or a negation lie almost on top of each other in vector space, and ask
for different things; the guard refuses such a candidate whatever its score.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from medha_core.interfaces.storage import Candidate
from medha_core.native import question_key

__all__ = ["Features", "Guard", "Verdict"]


class Verdict(NamedTuple):
    """Accepted or not, a stable reason code, and the evidence in words."""

    accepted: bool
    reason: str
    evidence: str = ""


ACCEPTED = Verdict(True, "accepted")


@dataclass(frozen=True, slots=True)
class Features:
    """What the guard compares of a question, computed once."""

    numbers: Counter[str]
    quoted: Counter[str]
    negations: Counter[str]
    spelling: bytes


_WORD_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "seventy": "70",
    "eighty": "80",
    "ninety": "90",
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "first": "1st",
    "second": "2nd",
    "third": "3rd",
    "fourth": "4th",
    "fifth": "5th",
}
_NEGATIONS = frozenset(
    "not no never without except excluding none neither nor nobody nothing non cannot lacking".split()
)
_QUOTED = re.compile(r"""(?<!\w)(["'`])(.+?)\1(?!\w)|“(.+?)”|‘(.+?)’|«(.+?)»""", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:[.,:/\-]\d+)*(?:st|nd|rd|th)?")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


class Guard:
    """Refuses candidates that ask for something else.

    Args:
        level: "off" accepts all; "balanced" and "strict" compare numbers
            (digits and words), quoted literals and negations.
    """

    def __init__(self, level: str = "balanced"):
        self.level = level

    def choose(self, question: str, candidates: Sequence[Candidate]) -> list[Verdict]:
        """One verdict a candidate, in order."""
        if self.level == "off":
            return [ACCEPTED] * len(candidates)
        asked = features(question)
        rivals = _spelled_alike(candidates)
        return [self._judge(asked, candidate, rivals) for candidate in candidates]

    def _judge(self, asked: Features, candidate: Candidate, rivals: set[str]) -> Verdict:
        stored = features(candidate.question)
        for reason in ("numbers", "quoted", "negations"):
            mine, theirs = getattr(asked, reason), getattr(stored, reason)
            if mine != theirs:
                return Verdict(False, reason, f"asked {_listed(mine)}, stored {_listed(theirs)}")
        if candidate.normalized_question in rivals and asked.spelling != stored.spelling:
            return Verdict(False, "spelling", "stored questions differ in the case of letters alone")
        return ACCEPTED


def _spelled_alike(candidates: Sequence[Candidate]) -> set[str]:
    """Normalised questions that several candidates share under different queries."""
    queries: dict[str, str] = {}
    return {
        candidate.normalized_question
        for candidate in candidates
        if queries.setdefault(candidate.normalized_question, candidate.query) != candidate.query
    }


def _listed(values: Counter[str]) -> str:
    return ", ".join(sorted(values.elements())) or "none"


@lru_cache(maxsize=65_536)
def features(question: str) -> Features:
    """The features of a question; digits of every script count as numbers."""
    quoted = Counter(next(filter(None, groups[1:])) for groups in _QUOTED.findall(question))
    text = _QUOTED.sub(" ", question)
    plain = "".join(_ascii_digit(character) for character in text).lower()
    words = _WORD.findall(plain)
    numbers = Counter(_NUMBER.findall(_THOUSANDS.sub("", plain)))
    numbers.update(_WORD_NUMBERS[word] for word in words if word in _WORD_NUMBERS)
    negations = Counter("not" for word in words if word in _NEGATIONS or word.endswith(("n't", "n’t")))
    return Features(numbers, quoted, negations, question_key(b"", question))


def _ascii_digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)
