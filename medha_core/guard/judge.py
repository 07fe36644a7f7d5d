"""The guard: whether a stored question may answer the one asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from medha_core.errors import ArgumentValueError
from medha_core.guard.evidence import Learned
from medha_core.guard.forms import alike
from medha_core.guard.pairing import Pairing, corrections, opposites, pair_up
from medha_core.guard.signals import Signals, measure
from medha_core.guard.structure import contradiction, nested, projection, rebound
from medha_core.guard.verdict import Reason, Verdict, accept, reject
from medha_core.guard.verifier import Verifier, shipped
from medha_core.guard.view import HARD, View, mentioned_in, view
from medha_core.reading.features import Features, extract, read_words
from medha_core.reading.lexicon import Lexicon, english
from medha_core.reading.mentions import Mention

__all__ = ["FAR", "Guard", "Reading"]

FAR = 0.3
"""Margin where no candidate with another query is near."""
_HARD_REASONS = {
    "v": Reason.VALUE,
    "n": Reason.NUMBER,
    "d": Reason.DATE,
    "q": Reason.QUOTED,
    "i": Reason.IDENTIFIER,
}


class Level(NamedTuple):
    """Probabilities a candidate must reach. Chosen on sets the verifier had not seen."""

    floor: float
    """Below it nothing is accepted. Enough where several candidates give the same answer, or none another."""
    alone: float
    """For an answer that only one candidate gives, with other queries near."""
    alone_exchanged: float
    """The same, where values were exchanged."""
    one_sided: float
    """Where one question says something more that the query may depend on."""
    other_noun: float
    """Where another noun is asked for."""
    rival: float
    """A refused candidate with another query that is this likely makes the answer ambiguous."""


LEVELS = {
    "strict": Level(0.9, 0.97, 0.99, 0.97, 0.97, 0.2),
    "balanced": Level(0.7, 0.9, 0.95, 0.77, 0.82, 0.3),
}


class Reading(NamedTuple):
    """Which words of the two questions are values, where values are exchanged."""

    asked: tuple[Mention, ...]
    stored: tuple[Mention, ...]
    exchanged: int


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

    @property
    def _lexicon(self) -> Lexicon:
        # Read when first needed, not when a cache is made: it takes some fifty milliseconds.
        return self._given_lexicon or english()

    def evidence(self) -> Learned:
        """Evidence without anything in it."""
        return Learned()

    def features(self, question: str, query: str = "") -> Features:
        """Read a question; with `query`, as the stored question of an entry."""
        features = extract(question, query, self._lexicon)
        if not query:
            return features
        return replace(features, opened=view(features, features.mentions, self._lexicon).opened)

    def alike(self, asked: Features, learned: Learned) -> list[object]:
        """Entries that say the asked question's words with other values, whatever their vectors."""
        return alike(asked, learned, self._lexicon)

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
        if reading is None:
            mentions = mentioned_in(asked, stored.mentions)
            if mentions is None:
                return reject(Reason.VALUE, "the stored query has a value that is not asked for")
            reading = Reading(mentions, stored.mentions, 0)
        a, b = view(asked, reading.asked, self._lexicon), view(stored, reading.stored, self._lexicon)
        verdict = _early(asked, stored, a, b, learned)
        if verdict:
            return verdict
        a, b = self._corrected(asked, stored, a, b, reading)
        pairing = pair_up(a, b, score, self._lexicon, learned)
        veto = _veto(a, b, pairing, stored, self._lexicon, learned)
        if veto:
            return veto
        signals = measure(
            a,
            b,
            pairing,
            stored,
            self._lexicon,
            learned,
            score=score,
            margin=margin,
            exchanged=reading.exchanged,
        )
        return self._weigh(pairing, signals, learned, stored.unnamed)

    def _corrected(
        self, asked: Features, stored: Features, a: View, b: View, reading: Reading
    ) -> tuple[View, View]:
        """Slips of the one put right by the words of the other."""
        fixed = corrections(a, b, self._lexicon)
        if fixed:
            a = self._rewritten(asked, reading.asked, fixed)
        fixed = corrections(b, a, self._lexicon)
        if fixed:
            b = self._rewritten(stored, reading.stored, fixed)
        return a, b

    def _rewritten(self, features: Features, mentions: Sequence[Mention], fixed: dict[str, str]) -> View:
        inside = {i for m in mentions for i in range(m.first, m.last)}
        words = [
            w if i in inside else w._replace(text=fixed.get(w.text, w.text))
            for i, w in enumerate(features.words)
        ]
        return view(read_words(words, self._lexicon), mentions, self._lexicon)

    def _weigh(self, pairing: Pairing, signals: Signals, learned: Learned, unnamed: bool) -> Verdict:
        """The verifier's estimate against the limits of the level."""
        confidence = (self._verifier or shipped())(signals)
        said = _in_words(pairing)
        limit = self.limits.floor
        if signals.projection:
            limit = self.limits.other_noun
        elif _is_one_sided(pairing, signals, unnamed):
            limit = self.limits.one_sided
        if confidence >= limit:
            known = any(pairing.before) and learned.keeps(pairing.before)
            return accept(Reason.LEARNED if known else Reason.AGREES, said, confidence)
        return reject(_why(signals, pairing), said, confidence)


def _early(asked: Features, stored: Features, a: View, b: View, learned: Learned) -> Verdict | None:
    """Verdicts that need no comparison of meaning."""
    extra = _known_values(learned, a) - _known_values(learned, b)
    if extra:
        return reject(Reason.VALUE, f"{', '.join(sorted(extra))}: a value the stored question does not name")
    if asked.relative and stored.fixed_dates:
        return reject(Reason.STALE, "the stored query holds a date that depends on the day it was asked")
    if a.keys == b.keys and a.open_words == b.open_words:
        return accept(Reason.SAME, "the same words")
    if not (asked.is_english and stored.is_english):
        if a.open_words == b.open_words:
            return accept(Reason.SAME, "the same words")
        return reject(Reason.LANGUAGE, "other words, in a language without lexicon")
    return None


def _known_values(learned: Learned, view: View) -> set[str]:
    return {spotted.text for spotted in learned.values.spot(view.open_words)}


def _veto(
    a: View, b: View, pairing: Pairing, stored: Features, lexicon: Lexicon, learned: Learned
) -> Verdict | None:
    """What no score can outweigh."""
    left, right = pairing.left
    for key in (*left, *right):
        if key[0] in HARD:
            return reject(_HARD_REASONS[key[0]], f"{key[2:]} is in one question only")
    if value := contradiction(a, b, lexicon):
        return reject(Reason.BINDING, f"{value} plays another part")
    if words := rebound(a.keys, b.keys):
        return reject(Reason.BINDING, words)
    if not any(pairing.before) and projection(a) != projection(b):
        return reject(Reason.PROJECTION, f"{projection(a)[2:]} / {projection(b)[2:]} is asked for")
    if again := nested(a.keys, b.keys, pairing.left):
        return reject(Reason.STRANGER, f"{again}: once more")
    if pair := opposites(pairing.left, lexicon):
        return reject(Reason.OPPOSITE, pair)
    if learned.keeps(pairing.before) and all(pairing.before):
        return None
    dates = [key[2:] for key in (*left, *right) if key[0] == "w" and key[2:] in lexicon.calendar]
    if dates and not learned.keeps(pairing.before):
        return reject(Reason.DATE, f"{', '.join(dates)}: in one question only")
    if ("p:by" in left) != ("p:by" in right) and not learned.keeps(pairing.before):
        return reject(Reason.BINDING, "by: in one question only")
    asks = [key[2:] for key in (*left, *right) if key[0] == "a" and key != "a:where"]
    if asks and not learned.keeps(pairing.before):
        return reject(Reason.INTERROGATIVE, f"{', '.join(asks)}: in one question only")
    telling = (*left, *right) if stored.unnamed else left
    names = [key[2:] for key in telling if key[0] == "w" and lexicon.is_name(key[2:])]
    if names and not learned.keeps(pairing.before):
        return reject(Reason.STRANGER, f"{', '.join(names)}: a name, or no word of the language")
    operators = [key[2:] for key in (*left, *right) if key[0] == "o"]
    if operators:
        return reject(Reason.OPERATOR, f"{', '.join(operators)}: in one question only")
    return None


def _is_one_sided(pairing: Pairing, signals: Signals, unnamed: bool) -> bool:
    asked, stored = (any(key[0] == "w" for key in side) for side in pairing.left)
    if asked and not stored:
        return True
    return stored and not signals.asked_named and (signals.stored_named > 0 or (unnamed and not asked))


def _in_words(pairing: Pairing) -> str:
    sides = [" ".join(key[2:] for key in side) for side in pairing.before]
    return (
        f"asked: {sides[0] or '-'}; stored: {sides[1] or '-'}"
        if any(sides)
        else "the same words in another order"
    )


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
