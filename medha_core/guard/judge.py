"""The guard: whether a stored question may answer the one asked."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from medha_core.guard.evidence import Difference, Learned, difference, pattern
from medha_core.guard.slips import is_slip
from medha_core.guard.signals import signals
from medha_core.guard.view import View, bindings, contradiction, mentioned_in, rebound, view
from medha_core.reading.features import Features, extract, read_words
from medha_core.reading.lexicon import Lexicon, english

__all__ = ["Guard", "Reason", "Verdict"]


class Reason(str, Enum):
    """Why a candidate was accepted or rejected; stable, for statistics."""

    SAME = "same"
    AGREES = "agrees"
    LEARNED = "learned"
    OFF = "off"
    VALUE = "value"
    NUMBER = "number"
    DATE = "date"
    QUOTED = "quoted"
    IDENTIFIER = "identifier"
    OPERATOR = "operator"
    INTERROGATIVE = "interrogative"
    STRANGER = "stranger"
    BINDING = "binding"
    OPPOSITE = "opposite"
    PROJECTION = "projection"
    LANGUAGE = "language"
    KNOWN_OTHERWISE = "known_otherwise"
    SCORE = "score"


class Verdict(NamedTuple):
    accepted: bool
    reason: Reason
    evidence: str


_NEAR_OPERATORS = {("o:first", "o:earliest"), ("o:last", "o:latest")}
_HARD = {"n": Reason.NUMBER, "d": Reason.DATE, "q": Reason.QUOTED, "i": Reason.IDENTIFIER, "v": Reason.VALUE}


def _reject(reason: Reason, evidence: str) -> Verdict:
    return Verdict(False, reason, evidence)


class Guard:
    """Decides which of the nearest stored questions may answer."""

    def __init__(self, level: str = "balanced", *, lexicon: Lexicon | None = None):
        self.level = level
        self.lexicon = lexicon or english()

    def features(self, question: str, query: str = "") -> Features:
        return extract(question, query, self.lexicon)

    def judge(
        self, asked: Features, stored: Features, score: float, learned: Learned | None = None, margin: float = 0.0
    ) -> Verdict:
        mentions = mentioned_in(asked, stored.mentions)
        if mentions is None:
            return _reject(Reason.VALUE, "a value of the stored query is not asked for")
        return self.judge_values(asked, stored, mentions, stored.mentions, score, learned, margin)

    def judge_values(
        self, asked, stored, mentions, stored_mentions, score, learned=None, margin=0.0, exchanged=0
    ) -> Verdict:
        a, b = view(asked, mentions, self.lexicon), view(stored, stored_mentions, self.lexicon)
        if learned and (extra := _values(learned, a) - _values(learned, b)):
            return _reject(Reason.VALUE, f"{', '.join(sorted(extra))} is a value, and not of the stored question")
        self._now = (stored, score, margin, exchanged, mentions)
        return self.compare(asked, stored, a, b, mentions, stored_mentions, score, learned)

    def compare(self, asked, stored, a: View, b: View, mentions, stored_mentions, score, learned) -> Verdict:
        if a.open_words == b.open_words and a.keys == b.keys:
            return Verdict(True, Reason.SAME, "the same words")
        if not (asked.is_english and stored.is_english):
            if a.keys == b.keys:
                return Verdict(True, Reason.AGREES, "the same words")
            return _reject(Reason.LANGUAGE, "wording differs in a language not known")
        a, b = self._repaired(asked, stored, a, b, mentions, stored_mentions)
        a, b = _once(a), _once(b)
        diff = difference(a.keys, b.keys)
        for key in (*diff[0], *diff[1]):
            if key[0] in _HARD:
                return _reject(_HARD[key[0]], key[2:])
        if value := contradiction(a, b):
            return _reject(Reason.BINDING, f"{value} plays another part")
        if words := rebound(a.keys, b.keys):
            return _reject(Reason.BINDING, words)
        x, y = _projection(a.keys), _projection(b.keys)
        if x != y and x in b.keys and y in a.keys and not any(diff):
            return _reject(Reason.PROJECTION, f"{x[2:]} / {y[2:]}")
        if nested := _nested(a.keys, b.keys, diff):
            return _reject(Reason.STRANGER, f"{nested} once more")
        if pair := self._antonyms(diff):
            return _reject(Reason.OPPOSITE, f"{pair[0]} / {pair[1]}")
        return self._soft(a, b, diff, score, learned)

    def _antonyms(self, diff: Difference) -> tuple[str, str] | None:
        words = [[key[2:] for key in side if key[0] == "w"] for side in diff]
        return next(((x, y) for x in words[0] for y in words[1] if self.lexicon.are_antonyms(x, y)), None)

    def _repaired(self, asked, stored, a, b, mentions, stored_mentions):
        """Spelling mistakes of the one put right by the words of the other."""
        fixed = self._corrections(a, b)
        if fixed:
            a = self._rewritten(asked, mentions, fixed)
        fixed = self._corrections(b, a)
        if fixed:
            b = self._rewritten(stored, stored_mentions, fixed)
        return a, b

    def _corrections(self, a: View, b: View) -> dict[str, str]:
        """Words of `a` that are slips for words only `b` says."""
        only_a, only_b = difference(a.open_words, b.open_words)
        found = {}
        for word in set(only_a):
            near = {w for w in only_b if is_slip(word, w, self.lexicon)}
            if len(near) == 1:
                found[word] = near.pop()
        return found

    def _rewritten(self, features: Features, mentions, fixed: dict[str, str]) -> View:
        inside = {i for m in mentions for i in range(m.first, m.last)}
        words = [
            w._replace(text=fixed.get(w.text, w.text)) if i not in inside else w for i, w in enumerate(features.words)
        ]
        return view(read_words(words, self.lexicon), mentions, self.lexicon)

    def measure(self, a: View, b: View, diff: Difference, learned: Learned):
        stored, score, margin, exchanged, mentions = self._now
        left, right, mapped = self._paired(a, b, diff, score, learned)
        return signals(
            a, b, diff, (tuple(left), tuple(right)), stored.names, learned, score=score, margin=margin,
            exchanged=exchanged, shape=stored.shape, keys=a.opened, mapped=mapped,
            stem=lambda w: self.lexicon.stem(w),
        )  # fmt: skip

    def _soft(self, a: View, b: View, diff: Difference, score: float, learned: Learned | None) -> Verdict:
        known = learned.verdict(diff) if learned and any(diff) else 0
        if known > 0 and not _may_be_learned(diff, a, b, score, learned):
            known = 0
        if known < 0:
            return _reject(Reason.KNOWN_OTHERWISE, f"{diff} changed the query before")
        keys_a, keys_b = a.keys, b.keys
        if known == 0:
            verdict, keys_a = self._pair_up(a, b, diff, score, learned)
            if verdict:
                return verdict
        elif all(diff):
            keys_a, keys_b = _without(keys_a, diff[0]), _without(keys_b, diff[1])
        if bindings(keys_a) != bindings(keys_b):
            return _reject(Reason.BINDING, f"{bindings(keys_a)} / {bindings(keys_b)}")
        if _projection(keys_a) != _projection(keys_b):
            return _reject(Reason.PROJECTION, f"{_projection(keys_a)} / {_projection(keys_b)}")
        if _value_order(keys_a) != _value_order(keys_b):
            return _reject(Reason.BINDING, "values in another order")
        return Verdict(True, Reason.LEARNED if known else Reason.AGREES, str(diff))

    def _pair_up(self, a, b, diff, score, learned):
        left, right = list(diff[0]), list(diff[1])
        left, right, mapped = self._paired(a, b, diff, score, learned)
        for key in (*left, *right):
            if key[0] == "o":
                return _reject(Reason.OPERATOR, key[2:]), a.keys
            if key[0] == "a":
                return _reject(Reason.INTERROGATIVE, key[2:]), a.keys
        rest = [k for k in (*left, *right) if not (k[0] == "w" and k[2:] in self.lexicon.light)]
        if rest:
            return _reject(Reason.STRANGER, ", ".join(rest)), a.keys
        return None, tuple(mapped.get(k, k) for k in a.keys)

    def _paired(self, a, b, diff, score, learned):
        """Which leftover words of the one stand for which of the other, and what then is left."""
        left, right, mapped = list(diff[0]), list(diff[1]), {}
        for key in diff[0]:
            match = next((r for r in right if self._equivalent(key, r, a, b, score, learned)), None)
            if match:
                mapped[key] = match
                left.remove(key)
                right.remove(match)
        return left, right, mapped

    def _equivalent(self, x: str, y: str, a, b, score, learned) -> bool:
        if (x, y) in _NEAR_OPERATORS or (y, x) in _NEAR_OPERATORS:
            return True
        if x[0] != "w" or y[0] != "w":
            return False
        if learned and learned.verdict(((x,), (y,))) > 0:
            return True
        p, q = x[2:], y[2:]
        if self.lexicon.stem(p) == self.lexicon.stem(q) and len(self.lexicon.stem(p)) >= 4:
            return True
        return score >= 0.85 and self.lexicon.are_synonyms(p, q)


def _nested(a: Sequence[str], b: Sequence[str], diff: Difference) -> str:
    """Two words that one question says more often than the other: a clause nested once more, or ""."""
    for side, other in zip(diff, (b, a), strict=True):
        repeated = sorted({key[2:] for key in side if key[0] == "w" and key in other})
        if len(repeated) > 1:
            return " ".join(repeated)
    return ""


def _once(view: View) -> View:
    """The view with each value said once: repeating a value asks for nothing new."""
    kept = [i for i, key in enumerate(view.keys) if key[0] != "v" or key not in view.keys[:i]]
    return view._replace(
        keys=tuple(view.keys[i] for i in kept), opened=tuple(view.opened[i] for i in kept)
    )


def _values(learned: Learned, view: View) -> set[str]:
    return {spotted.text for spotted in learned.values.spot(view.open_words)}


def _may_be_learned(diff: Difference, a: View, b: View, score: float, learned: Learned) -> bool:
    kinds = {key[0] for side in diff for key in side}
    if "o" in kinds and not all(diff):
        return False
    if "p" in kinds and _values_of(a) != _values_of(b):
        return False
    shapes = len(learned.shapes_of[pattern(diff)])
    if "o" in kinds and shapes < 2 and score < 0.9:
        return False
    return score >= (0.85 if shapes < 2 else 0.75)


def _values_of(view: View) -> list[str]:
    return [key for key in view.keys if key[0] in "vnqid"]


def _without(keys: Sequence[str], dropped: Sequence[str]) -> tuple[str, ...]:
    """The keys less the first of each dropped one."""
    left = list(dropped)
    kept = []
    for key in keys:
        if key in left:
            left.remove(key)
        else:
            kept.append(key)
    return tuple(kept)


def _projection(keys: Sequence[str]) -> str:
    return next((k for k in keys if k[0] == "w"), "")


def _value_order(keys: Sequence[str]) -> list[str]:
    """Values that no preposition binds, in order."""
    return [k for i, k in enumerate(keys) if k[0] in "vnqid" and not (i and keys[i - 1][:2] == "p:")]
