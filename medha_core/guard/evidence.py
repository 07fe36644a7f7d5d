"""What the cache has learnt from the pairs it holds: which differences of wording do not change the query."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from math import log1p

from medha_core.reading.values import KnownValues

__all__ = ["Learned", "difference"]

MAX_WORDS = 4
"""A difference of more words than this teaches nothing."""
KEPT_FORMS = 8
"""Wordings kept per query shape to compare new ones with."""

Difference = tuple[tuple[str, ...], tuple[str, ...]]


def difference(asked: Iterable[str], stored: Iterable[str]) -> Difference:
    """What only the one and only the other says, as sorted multisets."""
    a, b = Counter(asked), Counter(stored)
    return tuple(sorted((a - b).elements())), tuple(sorted((b - a).elements()))


def pattern(pair: Difference) -> Difference:
    """The same difference whichever way round it was met."""
    return pair if pair[0] <= pair[1] else (pair[1], pair[0])


class Learned:
    """Evidence gathered from stored pairs. Not thread-safe; the owner locks it."""

    def __init__(self) -> None:
        self.same: Counter[Difference] = Counter()
        self.other: Counter[Difference] = Counter()
        self.word_same: Counter[str] = Counter()
        self.word_other: Counter[str] = Counter()
        self.entries: defaultdict[tuple[str, ...], list] = defaultdict(list)
        self.vocabulary: Counter[str] = Counter()
        self.questions = 0
        self.containing: Counter[str] = Counter()
        self.values = KnownValues()
        self.shapes: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self.shapes_of: defaultdict[Difference, set[str]] = defaultdict(set)
        self._forms: defaultdict[str, OrderedDict[tuple[str, ...], None]] = defaultdict(OrderedDict)

    def observe(
        self, entry: object, keys: tuple[str, ...], words: Iterable[str], shape: str, neighbours: Iterable[tuple[tuple[str, ...], str]]
    ) -> None:
        """Learn from a stored question (keys with values left open, query shape) and its nearest ones."""
        forms = self._forms[shape]
        for known in forms:
            self._teach(keys, known, same=True)
            self.shapes_of[pattern(difference(keys, known))].add(shape)
        for other_keys, other_shape in neighbours:
            if other_shape != shape:
                self._teach(keys, other_keys, same=False)
        if len(forms) < KEPT_FORMS:
            forms[keys] = None
        self.shapes[tuple(sorted(keys))][shape] += 1
        self.entries[tuple(sorted(keys))].append(entry)
        self.vocabulary.update(words)
        self.questions += 1
        self.containing.update(set(keys))

    def _teach(self, a: tuple[str, ...], b: tuple[str, ...], *, same: bool) -> None:
        pair = difference(a, b)
        if any(pair) and max(map(len, pair)) <= MAX_WORDS and not _has_value(pair):
            (self.same if same else self.other)[pattern(pair)] += 1
            for key in (*pair[0], *pair[1]):
                (self.word_same if same else self.word_other)[key] += 1 / (len(pair[0]) + len(pair[1]))

    def counts(self, pair: Difference) -> tuple[int, int, int]:
        """How often a difference kept the query, changed it, and for how many query shapes it kept it."""
        key = pattern(pair)
        return self.same[key], self.other[key], len(self.shapes_of[key]) if key in self.shapes_of else 0

    def word_counts(self, keys: Sequence[str]) -> tuple[float, float]:
        """For the word of a difference with the worst record: how often it kept, and changed, the query."""
        if not keys:
            return 0.0, 0.0
        worst = max(keys, key=lambda k: (self.word_other[k] + 0.1) / (self.word_same[k] + 0.1))
        return log1p(self.word_same[worst]), log1p(self.word_other[worst])

    def commonness(self, keys: Sequence[str]) -> float:
        """Share of stored questions that say the rarest of some words; 1 where there is no word."""
        said = [self.containing[key] / max(self.questions, 1) for key in keys if key[0] == "w"]
        return min(said, default=1.0)

    def verdict(self, pair: Difference) -> int:
        """1: seen to keep the query, -1: seen to change it, 0: never seen."""
        key = pattern(pair)
        same, other = self.same[key], self.other[key]
        if other and same <= 2 * other:
            return -1
        return 1 if same and not other else 0


def _has_value(pair: Difference) -> bool:
    return any(key[0] in "vnqid" for side in pair for key in side)
