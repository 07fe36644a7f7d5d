"""Words that say nothing by themselves, but tell two questions apart: `will` and `did`, `for` and `with`."""

from collections.abc import Iterator

from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.words import WORD

__all__ = ["told_apart"]


def told_apart(asked: Features, stored: Features, lexicon: Lexicon) -> str:
    """The small words by which two questions differ, or "".

    Times and possibilities that exclude one another; and prepositions that do, between the same words.
    """
    first, second = _times(asked, lexicon), _times(stored, lexicon)
    if first and second and first.isdisjoint(second):
        return f"{', '.join(sorted(first))} / {', '.join(sorted(second))}"
    if not lexicon.unlike:
        return ""
    for one, other in ((asked, stored), (stored, asked)):
        for side, otherwise in (("one", "other"), ("other", "one")):
            if between := set(_between(one, side, lexicon)) & set(_between(other, otherwise, lexicon)):
                return min(map(" ".join, between))
    return ""


def _times(features: Features, lexicon: Lexicon) -> set[str]:
    """What the auxiliaries say of a time, but for those that go with who asks: `can I`, `we will`."""
    texts = [word.text for word in features.words]
    return {
        lexicon.times[text]
        for i, text in enumerate(texts)
        if text in lexicon.times
        and lexicon.askers.isdisjoint((texts[i - 1] if i else "", texts[i + 1] if i + 1 < len(texts) else ""))
    }


def _between(features: Features, side: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """The words before and behind each preposition of one side."""
    for i, word in enumerate(features.words):
        if word.kind == WORD and lexicon.unlike.get(word.text) == side:
            before = next((w.text for w in reversed(features.words[:i]) if w.text not in lexicon.stop), "")
            behind = next((w.text for w in features.words[i + 1 :] if w.text not in lexicon.stop), "")
            if before and behind:
                yield before, behind
