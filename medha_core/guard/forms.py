"""Find stored questions that say the same words with other values, without any vector."""

from collections.abc import Iterator
from itertools import product

from medha_core.guard.evidence import Learned
from medha_core.guard.slips import correct
from medha_core.guard.view import opened_value, view
from medha_core.reading.features import Features, read_words
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention

__all__ = ["alike"]

MAX_READINGS = 16
"""Ways of reading the values of one question (each may belong to several columns) that are tried."""
MAX_ALIKE = 4
"""Entries of one form that are worth judging; they differ in values only."""


def alike(asked: Features, learned: Learned, lexicon: Lexicon) -> list[object]:
    """Entries whose question, its values left open, says the words of the asked one."""
    found: list[object] = []
    for form in _forms(corrected(asked, learned, lexicon), learned, lexicon):
        found.extend(e for e in learned.entries.get(tuple(sorted(form)), ())[-MAX_ALIKE:] if e not in found)
    return found


def corrected(asked: Features, learned: Learned, lexicon: Lexicon) -> Features:
    """The question with words nobody knows put right by words of stored questions."""
    fixed = {}
    for word in asked.words:
        if word.kind == "w" and not lexicon.is_common(word.text) and word.text not in learned.vocabulary:
            fixed[word.text] = correct(word.text, learned.vocabulary, lexicon)
    if not any(fixed.values()):
        return asked
    words = [w._replace(text=fixed.get(w.text) or w.text) for w in asked.words]
    return read_words(words, lexicon)


def _forms(asked: Features, learned: Learned, lexicon: Lexicon) -> Iterator[tuple[str, ...]]:
    spotted = learned.values.spot([word.text for word in asked.words])
    choices = [sorted({opened_value(s.text, c) for c in learned.values.columns(s.text)}) for s in spotted]
    numbers = [
        Mention(word.text, i, i + 1, ())
        for i, word in enumerate(asked.words)
        if word.kind == "n" and not any(s.first <= i < s.last for s in spotted)
    ]
    for count, columns in enumerate(product(*choices)):
        if count == MAX_READINGS:
            return
        mentions = [
            Mention(s.text, s.first, s.last, (), column[2:]) for s, column in zip(spotted, columns, strict=True)
        ]
        yield view(asked, sorted([*mentions, *numbers], key=lambda m: m.first), lexicon).opened
