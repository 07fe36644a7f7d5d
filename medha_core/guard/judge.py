"""The guard: whether a stored question may answer the one asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from medha_core.errors import ArgumentValueError
from medha_core.guard.evidence import Learned
from medha_core.guard.forms import alike
from medha_core.guard.pairing import Pairing, corrections, pair_up
from medha_core.guard.roles import doers_turned, turned
from medha_core.guard.signals import Signals, measure
from medha_core.guard.small_words import Reading, says_the_same, told_apart
from medha_core.guard.superlatives import EXTREME, settle
from medha_core.guard.verdict import Reason, Verdict, accept, reject
from medha_core.guard.verifier import Verifier, shipped
from medha_core.guard.vetoes import veto
from medha_core.guard.view import View, mentioned_in, view
from medha_core.reading.features import Features, extract, read_words
from medha_core.reading.lexicon import Lexicon, of_language
from medha_core.reading.mentions import Mention

__all__ = ["FAR", "Guard", "Reading"]

FAR = 0.3
"""Margin where no candidate with another query is near."""


EXPLAINED = 0.97
"""Confidence at least where two questions say the same once superlatives, or `by` and a deed, are alike."""
MADE_BY = "p:by"
WORDED_ALIKE = 0.99
"""The same of questions that differ in words without weight only."""
LONGEST = 400
"""Words; a longer question is answered only word for word: comparing takes the square of the length."""


class Level(NamedTuple):
    """Probabilities a candidate must reach. Chosen on sets the verifier had not seen."""

    floor: float
    """Below it nothing is accepted. Enough where several candidates give the same answer, or none another."""
    alone: float
    """For an answer that only one candidate gives, with other queries near."""
    alone_exchanged: float
    """The same, where values were exchanged."""
    leftover: float
    """Where a word is left over that stored pairs have not shown to be harmless."""
    other_noun: float
    """Where another noun is asked for."""
    rival: float
    """A refused candidate with another query that is this likely makes the answer ambiguous."""
    lead: float
    """But for one that an answer with its query as it is exceeds by more than this."""


LEVELS = {
    "strict": Level(0.9, 0.97, 0.99, 0.97, 0.97, 0.2, 1.0),
    "balanced": Level(0.7, 0.9, 0.95, 0.87, 0.88, 0.3, 0.4),
}


class Guard:
    """Decides whether a stored question may answer. Pure and safe across threads."""

    def __init__(
        self,
        level: str = "balanced",
        *,
        lexicon: Lexicon | None = None,
        verifier: Verifier | None = None,
    ):
        if level != "off" and level not in LEVELS:
            raise ArgumentValueError("level", "'strict', 'balanced' or 'off'", level)
        self.level = level
        self.limits = LEVELS.get(level)
        self._given_lexicon = lexicon
        self._verifier = verifier

    def __repr__(self) -> str:
        return f"Guard({self.level!r})"

    def _lexicon(self, features: Features) -> Lexicon:
        # Read when first needed, not when a cache is made: it takes some fifty milliseconds.
        return self._given_lexicon or of_language(features.language)

    def evidence(self) -> Learned:
        """Evidence without anything in it."""
        return Learned()

    def features(self, question: str, query: str = "") -> Features:
        """Read a question; with `query`, as the stored question of an entry."""
        features = extract(question, query, self._given_lexicon)
        if not query:
            return features
        return replace(features, opened=view(features, features.mentions, self._lexicon(features)).opened)

    def alike(self, asked: Features, learned: Learned) -> list[object]:
        """Entries that say the asked question's words with other values, whatever their vectors."""
        return alike(asked, learned, self._lexicon(asked)) if len(asked.words) <= LONGEST else []

    def judge(
        self,
        asked: Features,
        stored: Features,
        score: float,
        *,
        learned: Learned | None = None,
        margin: float = FAR,
        reading: Reading | None = None,
    ) -> Verdict:
        """The verdict on one candidate.

        `score` is its cosine, `margin` how far that lies above the best candidate with another query.
        Without `reading` the stored query must fit as it is; with it, its values are to be exchanged.
        """
        if self.limits is None:
            return accept(Reason.OFF, "the guard is off")
        learned = learned or Learned()
        if max(len(asked.words), len(stored.words)) > LONGEST:
            return _unread(asked, stored)
        if reading is None:
            mentions = mentioned_in(asked, stored.mentions)
            if mentions is None:
                return reject(Reason.VALUE, "the stored query has a value that is not asked for")
            reading = Reading(mentions, stored.mentions, 0)
        lexicon = self._lexicon(asked)
        a, b = view(asked, reading.asked, lexicon), view(stored, reading.stored, self._lexicon(stored))
        verdict = _early(asked, stored, a, b, learned)
        if verdict:
            return verdict
        a, b, slips = self._corrected(asked, stored, a, b, reading)
        a, b = settle(a, b, stored.sense)
        pairing = pair_up(a, b, stored, score, lexicon, learned)
        objection = veto(a, b, pairing, stored, lexicon, learned)
        if objection:
            return objection
        now = tuple(pairing.mapped.get(key, key) for key in a.keys)
        doer = doers_turned(asked, stored, a.keys, b.keys, lexicon)
        if verb := doer or turned(asked, stored, now, b.keys, lexicon):
            return reject(Reason.BINDING, f"{verb}: with subject and object exchanged")
        if small := told_apart(asked, stored, lexicon):
            return reject(Reason.OPERATOR, f"{small}: told apart by small words")
        signals = measure(
            a,
            b,
            pairing,
            stored,
            lexicon,
            learned,
            score=score,
            margin=margin,
            exchanged=reading.exchanged,
        )
        confidence = (self._verifier or shipped())(signals)
        if EXTREME in a.keys and a.keys == b.keys:
            # No estimate: the stored query itself says that the two questions ask for one thing.
            confidence = max(confidence, EXPLAINED)
        if MADE_BY in pairing.idle and not any(pairing.left):
            confidence = max(confidence, EXPLAINED)  # `papers by X`, `papers X has written`
        is_as_it_is = not (slips or reading.exchanged or signals.form_other) and a.keys == b.keys
        if is_as_it_is and says_the_same(asked, stored, reading, lexicon):
            confidence = max(confidence, WORDED_ALIKE)
        return self._weigh(pairing, signals, learned, _in_words(a, b, pairing, slips), confidence)

    def _corrected(
        self, asked: Features, stored: Features, a: View, b: View, reading: Reading
    ) -> tuple[View, View, dict[str, str]]:
        """Slips of the one put right by the words of the other, and what they were."""
        fixed = corrections(a, b, self._lexicon(asked))
        if fixed:
            a = self._rewritten(asked, reading.asked, fixed)
        slips = fixed
        fixed = corrections(b, a, self._lexicon(asked))
        if fixed:
            b = self._rewritten(stored, reading.stored, fixed)
        return a, b, slips | fixed

    def _rewritten(self, features: Features, mentions: Sequence[Mention], fixed: dict[str, str]) -> View:
        inside = {i for m in mentions for i in range(m.first, m.last)}
        words = [
            w if i in inside else w._replace(text=fixed.get(w.text, w.text))
            for i, w in enumerate(features.words)
        ]
        lexicon = self._lexicon(features)
        return view(read_words(words, lexicon), mentions, lexicon)

    def _weigh(
        self, pairing: Pairing, signals: Signals, learned: Learned, said: str, confidence: float
    ) -> Verdict:
        """The verifier's estimate against the limits of the level."""
        limit = self.limits.floor
        learnt = any(pairing.before) and learned.keeps(pairing.before)
        if signals.asked_alien and signals.stored_alien and not learnt:
            return reject(Reason.STRANGER, said, confidence)
        if signals.projection:
            limit = self.limits.other_noun
        elif not learnt and any(key[0] == "w" for side in pairing.left for key in side):
            limit = self.limits.leftover
        if confidence >= limit:
            return accept(Reason.LEARNED if learnt else Reason.AGREES, said, confidence)
        return reject(_why(signals, pairing), said, confidence)


def _unread(asked: Features, stored: Features) -> Verdict:
    if [word[:2] for word in asked.words] == [word[:2] for word in stored.words]:
        return accept(Reason.SAME, "the same words")
    return reject(Reason.UNSURE, f"more than {LONGEST} words")


def _early(asked: Features, stored: Features, a: View, b: View, learned: Learned) -> Verdict | None:
    """Verdicts that need no comparison of meaning."""
    extra = _known_values(learned, a) - _known_values(learned, b)
    if extra:
        return reject(Reason.VALUE, f"{', '.join(sorted(extra))}: a value the stored question does not name")
    if asked.relative and stored.fixed_dates:
        return reject(Reason.STALE, "the stored query holds a date that depends on the day it was asked")
    if quoted := _quoted_otherwise(asked, stored):
        return reject(Reason.QUOTED, f"{quoted}: in other letters")
    if a.keys == b.keys and a.open_words == b.open_words:
        return accept(Reason.SAME, "the same words")
    if not (asked.is_english and stored.is_english and asked.language == stored.language):
        if a.open_words == b.open_words:
            return accept(Reason.SAME, "the same words")
        return reject(Reason.LANGUAGE, "other words, in a language without lexicon or in another language")
    return None


def _known_values(learned: Learned, view: View) -> set[str]:
    return {spotted.text for spotted in learned.values.spot(view.open_words)}


def _quoted_otherwise(asked: Features, stored: Features) -> str:
    """A quoted text that both questions have, but in upper case here and lower case there, or ""."""
    written = {word.text: word.quoted for word in stored.words if word.quoted}
    if not written:
        return ""
    return next((w.quoted for w in asked.words if w.quoted and written.get(w.text, w.quoted) != w.quoted), "")


def _in_words(a: View, b: View, pairing: Pairing, slips: dict[str, str]) -> str:
    """What was found, for people."""
    found = [f"{wrong} read as {right}" for wrong, right in slips.items()]
    sides = [" ".join(key[2:] for key in side) for side in pairing.before]
    if any(sides):
        found.append(f"asked: {sides[0] or '-'}; stored: {sides[1] or '-'}")
    elif sorted(a.keys) == sorted(b.keys) and a.keys != b.keys:
        found.append("the same words in another order")
    return "; ".join(found) or "the same but for words without weight"


def _why(signals: Signals, pairing: Pairing) -> Reason:
    """The plainest thing to say against a candidate the verifier does not believe."""
    if signals.seen_other:
        return Reason.KNOWN_OTHERWISE
    if any(key[0] == "w" for side in pairing.left for key in side):
        return Reason.STRANGER
    if signals.interrogatives:
        return Reason.INTERROGATIVE
    if signals.bindings:
        return Reason.BINDING
    return Reason.PROJECTION if signals.projection else Reason.UNSURE
