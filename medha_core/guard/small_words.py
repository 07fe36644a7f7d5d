"""Words that say nothing by themselves, but tell two questions apart: `will` and `did`, `for` and `with`."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention
from medha_core.reading.words import WORD

__all__ = ["Reading", "says_the_same", "told_apart"]


WHEN = "a:when"


class Reading(NamedTuple):
    """Which words of the two questions are values, where values are exchanged."""

    asked: tuple[Mention, ...]
    stored: tuple[Mention, ...]
    exchanged: int


def told_apart(asked: Features, stored: Features, lexicon: Lexicon) -> str:
    """The small words by which two questions differ, or "".

    Times and possibilities that exclude one another, and moments of two kinds; and prepositions that do,
    between the same words.
    """
    first, second = _times(asked, lexicon), _times(stored, lexicon)
    if first and second and first.isdisjoint(second):
        return f"{', '.join(sorted(first))} / {', '.join(sorted(second))}"
    if dated := _dated_otherwise(asked, stored, first, second, lexicon):
        return dated
    if not lexicon.unlike:
        return ""
    for one, other in ((asked, stored), (stored, asked)):
        for side, otherwise in (("one", "other"), ("other", "one")):
            if between := set(_between(one, side, lexicon)) & set(_between(other, otherwise, lexicon)):
                return min(map(" ".join, between))
    return ""


def says_the_same(asked: Features, stored: Features, reading: Reading, lexicon: Lexicon) -> bool:
    """Whether two questions of the same items have the same small words too, fillers apart."""
    first = _dropped(asked, reading.asked, lexicon)
    return list(first) == list(_dropped(stored, reading.stored, lexicon))


def _dropped(features: Features, mentions: Sequence[Mention], lexicon: Lexicon) -> Iterator[str]:
    """The words that are in no item and in no value, in order."""
    inside = {i for part in (*features.items, *mentions) for i in range(part.first, part.last)}
    for i, word in enumerate(features.words):
        if i not in inside and word.text not in lexicon.filler:
            yield word.text


def _times(features: Features, lexicon: Lexicon) -> set[str]:
    """What the auxiliaries say of a time, but for those that go with who asks: `can I`, `we will`."""
    texts = [word.text for word in features.words]
    found = set()
    for i, text in enumerate(texts):
        before, behind = texts[i - 1] if i else "", texts[i + 1] if i + 1 < len(texts) else ""
        time = lexicon.times.get(text, "")
        if text in lexicon.inverting and lexicon.looks_past(behind):
            time = "past"  # `has carried`
        if time and lexicon.askers.isdisjoint((before, behind)):
            found.add(time)
    return found


def _moments(features: Features, lexicon: Lexicon) -> list[str]:
    """What kind of moment is asked for by its name: `what time`, `which year`."""
    texts = [word.text for word in features.words]
    return [
        kind for asks, kind in pairwise(texts) if asks in lexicon.interrogatives and kind in lexicon.moments
    ]


def _dated_otherwise(
    asked: Features, stored: Features, first: set[str], second: set[str], lexicon: Lexicon
) -> str:
    """The moments of two kinds that are asked for, or "": `what time`, `what date`.

    `when` asks for any, but not of what was for what is: `when was it opened`, `what time does it open`.
    """
    kinds, others = _moments(asked, lexicon)[:1], _moments(stored, lexicon)[:1]
    if kinds and others:
        return "" if kinds == others else f"{kinds[0]} / {others[0]}"
    if not (kinds or others) or ("past" in first) == ("past" in second):
        return ""
    both = all(any(item.key == WHEN for item in features.items) for features in (asked, stored))
    return f"when / {(kinds or others)[0]}" if both else ""


def _between(features: Features, side: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """The words before and behind each preposition of one side; not where it stands between two names."""
    for i, word in enumerate(features.words):
        if word.kind == WORD and lexicon.unlike.get(word.text) == side:
            before = next((w.text for w in reversed(features.words[:i]) if w.text not in lexicon.stop), "")
            behind = next((w.text for w in features.words[i + 1 :] if w.text not in lexicon.stop), "")
            if before and behind and not lexicon.is_name(before):
                yield before, behind
