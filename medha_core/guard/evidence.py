"""What the cache has learnt from the pairs it holds: which differences of wording do not change the query."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import log1p

from medha_core.reading.features import Features
from medha_core.reading.values import KnownValues

__all__ = ["Difference", "Learned", "difference"]

MAX_WORDS = 4
"""A difference of more words than this teaches nothing."""
MAX_KEPT = 100_000
"""Differences, words and query shapes of which evidence is kept; the oldest go first."""
KEPT_FORMS = 8
"""Wordings kept per query shape to compare new ones with."""
MAX_FORM = 400
"""Items; a longer question teaches its values only."""
DATA = "vnqid"

Difference = tuple[tuple[str, ...], tuple[str, ...]]
Form = tuple[str, ...]
"""The keys of a question, values left open, sorted: what it says, whatever the order and the values."""


def difference(asked: Iterable[str], stored: Iterable[str]) -> Difference:
    """What only the one and only the other says, as sorted multisets."""
    a, b = Counter(asked), Counter(stored)
    return tuple(sorted((a - b).elements())), tuple(sorted((b - a).elements()))


def form(keys: Sequence[str]) -> Form:
    """What a question says, whatever the order of its words."""
    return tuple(sorted(keys))


class Learned:
    """Evidence gathered from the entries of one collection. Not thread-safe; its owner locks it."""

    def __init__(self) -> None:
        self.values = KnownValues()
        self.vocabulary: Counter[str] = Counter()
        self.entries: defaultdict[Form, dict[object, str]] = defaultdict(dict)
        """Form -> entry -> query shape."""
        self._same: defaultdict[Difference, Counter[str]] = defaultdict(Counter)
        self._other: Counter[Difference] = Counter()
        self._word_same: Counter[str] = Counter()
        self._word_other: Counter[str] = Counter()
        self._wordings: defaultdict[str, dict[tuple[str, ...], None]] = defaultdict(dict)
        self._containing: Counter[str] = Counter()
        self._questions = 0

    def __len__(self) -> int:
        return self._questions

    def __repr__(self) -> str:
        return f"<Learned {self._questions} questions, {len(self._same)} harmless differences>"

    def observe(self, entry: object, stored: Features, neighbours: Iterable[Features] = ()) -> None:
        """Learn from an entry just stored and, where a search found them, from the entries next to it."""
        self._count(stored, 1)
        if len(stored.opened) > MAX_FORM:
            return
        self.entries[form(stored.opened)][entry] = stored.shape
        known = self._wordings[stored.shape]
        for wording in known:
            self._teach(stored.opened, wording, stored.shape)
        for other in neighbours:
            if other.shape != stored.shape:
                self._teach(stored.opened, other.opened, None)
        if len(known) < KEPT_FORMS:
            known[stored.opened] = None

    def forget(self, entry: object, stored: Features) -> None:
        """Take an entry back. What its wording taught about the language stays."""
        held = self.entries.get(form(stored.opened), {})
        if held.pop(entry, None) is not None:
            self._count(stored, -1)
        if not held:
            self.entries.pop(form(stored.opened), None)

    def _count(self, stored: Features, by: int) -> None:
        for mention in stored.mentions:
            for column, spelling in mention.spellings:
                (self.values.saw if by > 0 else self.values.forgot)(column, mention.text, spelling)
        for counter, words in (
            (self.vocabulary, {w.text for w in stored.words if w.kind == "w"}),
            (self._containing, set(stored.opened)),
        ):
            for word in words:
                counter[word] += by
                if not counter[word]:
                    del counter[word]
        self._questions += by

    def _teach(self, a: Sequence[str], b: Sequence[str], shape: str | None) -> None:
        """Count one difference: `shape` where it kept that query, None where it changed it."""
        pair = difference(a, b)
        words = (*pair[0], *pair[1])
        if not words or max(map(len, pair)) > MAX_WORDS or any(key[0] in DATA for key in words):
            return
        if shape is None:
            self._other[_unordered(pair)] += 1
        else:
            self._same[_unordered(pair)][shape] += 1
        for counter in (self._other, self._same, self._word_same, self._word_other, self._wordings):
            if len(counter) > MAX_KEPT:
                del counter[next(iter(counter))]  # the oldest: dictionaries keep their order
        record = self._word_other if shape is None else self._word_same
        for key in words:
            record[key] += 1 / len(words)

    def counts(self, pair: Difference) -> tuple[int, int, int]:
        """How often a difference kept the query, changed it, and for how many query shapes it kept it."""
        shapes = self._same.get(_unordered(pair), {})
        return sum(shapes.values()), self._other[_unordered(pair)], len(shapes)

    def keeps(self, pair: Difference) -> bool:
        """Whether this difference was met, and never changed a query."""
        same, other, _ = self.counts(pair)
        return bool(same) and not other

    def word_record(self, keys: Sequence[str]) -> tuple[float, float]:
        """For the word with the worst record: how often (log) it kept, and changed, the query."""
        if not keys:
            return 0.0, 0.0
        worst = max(keys, key=lambda k: (self._word_other[k] + 0.1) / (self._word_same[k] + 0.1))
        return log1p(self._word_same[worst]), log1p(self._word_other[worst])

    def form_record(self, keys: Sequence[str], shape: str) -> tuple[int, int]:
        """How many stored questions of the same form have this query shape, and another one."""
        held = self.entries.get(form(keys), {})
        same = sum(found == shape for found in held.values())
        return same, len(held) - same

    def commonness(self, keys: Sequence[str]) -> float:
        """Share of stored questions that say the rarest of some words; 1 where there is no word."""
        said = (self._containing[key] / max(self._questions, 1) for key in keys if key[0] == "w")
        return min(said, default=1.0)


def _unordered(pair: Difference) -> Difference:
    return pair if pair[0] <= pair[1] else (pair[1], pair[0])
