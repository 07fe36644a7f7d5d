"""The guard on the compiled core: the same verdicts as `Guard` gives, some hundred times faster.

`Guard` and what it imports are the readable version and the oracle of the tests. Reading a stored query
is left to them; the rules about words come from the lexicon, asked once for each word (`reading.facts`).
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

from medha_core._core import CandidateJudge, GuardEvidence, QuestionReader, ReadQuestion
from medha_core.errors import ArgumentValueError
from medha_core.guard.judge import FAR, LEVELS, Reading
from medha_core.guard.pairing import NEAR_OPERATORS
from medha_core.guard.structure import LOOSE_OPERATORS, ONE_PART
from medha_core.guard.verdict import Reason, Verdict, Weighed, accept
from medha_core.guard.verifier import Verifier, shipped
from medha_core.reading.facts import word_facts
from medha_core.reading.features import query_facts, selects_name
from medha_core.reading.lexicon import Lexicon, english
from medha_core.reading.mentions import Mention, find_mentions, plain_value
from medha_core.reading.query import read_query
from medha_core.reading.slots import is_iso_date, slots
from medha_core.reading.words import Word, words

__all__ = ["CompiledGuard", "Fitted", "Keys", "Stored", "reader_of"]

_REASONS = [
    Reason(name)
    for name in (
        "same agrees learned value number date quoted identifier operator opposite interrogative stranger "
        "binding projection language stale known_otherwise unsure"
    ).split()
]
"""In the order of ext/guard_judge.hpp."""


class Keys(NamedTuple):
    """What there is to know of single keys."""

    magnitudes: Mapping[str, str]
    """Operators and what they are before a quantity."""
    loose: Collection[str]
    """Operators that belong to the whole question."""
    summing: Collection[str]
    telling: Collection[str]
    """Prepositions that change the answer wherever only one of two questions has them."""
    near_operators: Collection[tuple[str, str]]
    """Operators that mean the same."""
    one_part: Collection[tuple[str, str]]
    """Prepositions that may stand for each other."""


class Stored(NamedTuple):
    """What the query of a stored question says."""

    mentions: tuple[Mention, ...]
    slots: tuple[tuple[int, tuple[str, ...], str, bool, bool], ...] | None
    """Mention, columns, spelling, whether it is a number, whether a date; None: nothing can be exchanged."""
    shape: str
    """A digest of the query with the mentioned values left open."""
    names: tuple[str, ...]
    unnamed: bool
    fixed_dates: bool
    selects_name: bool


class Fitted(NamedTuple):
    """One way to put the asked question's values into the slots of a stored query."""

    asked: tuple[tuple[int, int, int], ...]
    """Slot, first and last word of each value."""
    spellings: tuple[str, ...]
    """For each slot how the query will spell its value."""
    exchanged: int
    """How many values differ from the stored ones."""


@cache
def reader_of(lexicon: Lexicon) -> QuestionReader:
    """The one reader of a lexicon: questions can be compared that it has read."""
    return QuestionReader(
        partial(words, lexicon=lexicon),
        partial(word_facts, lexicon=lexicon),
        (lexicon.are_synonyms, lexicon.are_antonyms, lexicon.are_related),
        Keys(
            {f"o:{operator}": f"o:{way}" for operator, way in lexicon.magnitude.items()},
            LOOSE_OPERATORS,
            lexicon.summing,
            lexicon.telling,
            NEAR_OPERATORS,
            [tuple(pair) for pair in ONE_PART],
        ),
    )


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
    def _lexicon(self) -> Lexicon:
        return self._given_lexicon or english()

    @property
    def _judge(self) -> CandidateJudge:
        # Made when first needed, like the lexicon and the verifier: reading them takes a while.
        if self._made is None:
            verifier, limits = self._given_verifier or shipped(), self.limits or LEVELS["strict"]
            self._made = CandidateJudge(
                reader_of(self._lexicon),
                verifier.trees,
                verifier.base,
                floor=limits.floor,
                leftover=limits.leftover,
                other_noun=limits.other_noun,
            )
        return self._made

    def evidence(self) -> GuardEvidence:
        """Evidence without anything in it."""
        return GuardEvidence(reader_of(self._lexicon))

    def features(self, question: str, query: str = "") -> ReadQuestion:
        """Read a question; with `query`, as the stored question of an entry."""
        reader = reader_of(self._lexicon)
        if not query:
            return reader.read(question)
        lexicon, found = self._lexicon, read_query(query)
        said = [Word(*word) for word in reader.read(question).words]
        mentions = find_mentions(said, found.literals, lexicon, self._spoken)
        facts = query_facts(query, found, mentions, lexicon)
        shape = hashlib.blake2b(facts["shape"].encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        stored = Stored(
            mentions,
            _slots(mentions, query),
            shape,
            tuple(sorted(facts["names"])),
            facts["unnamed"],
            facts["fixed_dates"],
            selects_name(facts["shape"]),
        )
        return reader.read_words(said, stored)

    def _spoken(self, value: str, lexicon: Lexicon) -> tuple[str, ...]:
        return reader_of(lexicon).word_texts(plain_value(value))

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
        return _verdict(self._judge.judge(learned or self.evidence(), asked, stored, score, margin, reading))

    def judge_all(
        self,
        asked: ReadQuestion,
        stored: Sequence[ReadQuestion],
        scores: Iterable[float],
        learned: GuardEvidence,
        substitution: str,
    ) -> list[Weighed]:
        """What is said of each candidate of one search."""
        if self.limits is None:
            return [Weighed(accept(Reason.OFF, "the guard is off"))] * len(stored)
        found = self._judge.judge_all(learned, asked, list(stored), list(scores), substitution)
        return [
            Weighed(_verdict(told))
            if exchanged is None
            else Weighed(_verdict(told), _verdict(exchanged[0]), Fitted(*exchanged[1]))
            for told, exchanged in found
        ]


def _slots(mentions: tuple[Mention, ...], query: str) -> tuple | None:
    made = slots(mentions, query)
    if made is None:
        return None
    return tuple(
        (
            next(i for i, mention in enumerate(mentions) if mention is slot.mention),
            tuple(sorted(slot.columns)),
            slot.spelling,
            slot.is_number,
            is_iso_date(slot.spelling),
        )
        for slot in made
    )


def _verdict(told: tuple[bool, int, str, float]) -> Verdict:
    accepted, reason, evidence, confidence = told
    return Verdict(accepted, _REASONS[reason], evidence, confidence)
