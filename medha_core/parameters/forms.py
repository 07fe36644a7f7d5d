"""Values by their form: numbers, dates, quoted strings, capitalised names, with the word before them."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Span", "dates", "last_word", "names", "numbers", "quoted", "words", "words_after"]

SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:\.\d+)?(?![\w.]*\w|[,-]\d)")
_DATE = re.compile(r"(?<!\w)\d{4}-\d{2}(?:-\d{2})?(?![\w-])")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'([^']+)'(?!\w)")
_CAPITAL = r"[^\W\d_a-z][\w'’&.-]*"
_PARTICLE = r"(?:de|da|do|dos|del|della|di|du|la|le|van|von|der|den|el|al|bin|y)"
_NAME = re.compile(rf"(?<!\w){_CAPITAL}(?:\s+(?:{_PARTICLE}\s+)*{_CAPITAL})*")
_OPENERS = frozenset(
    "what which who whom whose when where why how show list get find give tell count display is are was were "
    "do does did has have had can could would should will in on at of for from by with the a an all and or "
    "please i me my we our top first last sum total average number".split()
)
"""Capitalised because they open a sentence, not because they name something."""
_QUESTIONS = 64
"""Questions whose forms are kept: many templates look at one."""


class Span(NamedTuple):
    """A value in a question."""

    value: str
    start: int
    end: int
    before: str
    """The word before it, in lower case."""


@lru_cache(maxsize=_QUESTIONS)
def numbers(question: str) -> list[Span]:
    """Numbers without a sign, in digits."""
    return [_span(question, *found.span()) for found in _NUMBER.finditer(question)]


@lru_cache(maxsize=_QUESTIONS)
def dates(question: str) -> list[Span]:
    """ISO dates and months: `2024-03-15`, `2024-03`."""
    return [_span(question, *found.span()) for found in _DATE.finditer(question)]


def quoted(question: str) -> list[Span]:
    """What stands between quotes, as written."""
    found = []
    for match in _QUOTED.finditer(question):
        start, end = next(match.span(group) for group in (1, 2, 3) if match[group])
        found.append(Span(question[start:end], start, end, last_word(question[: match.start()])))
    return found


def names(question: str, own_words: Collection[str] = ()) -> list[Span]:
    """Quoted strings and capitalised spans ("New York", "Rio de Janeiro"), in order.

    Words that only open a sentence, and the template's own, are no names.
    """
    found, capitalised = _marked(question)
    spans = [_without_openers(question, start, end, own_words) for start, end in capitalised]
    return sorted([*found, *filter(None, spans)], key=lambda span: span.start)


@lru_cache(maxsize=_QUESTIONS)
def _marked(question: str) -> tuple[list[Span], list[tuple[int, int]]]:
    """The quoted strings, and outside them where capitalised words stand."""
    found = quoted(question)
    places = [(match.start(), _unpunctuated(match)) for match in _NAME.finditer(question)]
    inside = [(span.start, span.end) for span in found]
    return found, [place for place in places if not any(s <= place[0] < e for s, e in inside)]


def words_after(question: str, word: str) -> list[Span]:
    """What follows a word: "project apollo"."""
    found = re.finditer(rf"\b{re.escape(word)}\s+([\w-]+)", question, re.IGNORECASE)
    return [_span(question, *match.span(1)) for match in found]


def _unpunctuated(match: re.Match[str]) -> int:
    """The end of a name without the marks of the sentence; "U.S." keeps its own."""
    text = match.group()
    if text.endswith(".") and "." in text.rpartition(" ")[2][:-1]:
        return match.end()
    for ending in ("'s", "’s"):
        text = text.removesuffix(ending)
    return match.start() + len(text.rstrip(".'’&-"))


def _without_openers(question: str, start: int, end: int, skipped: Collection[str]) -> Span | None:
    for word in re.finditer(r"\S+", question[start:end]):
        text = word.group().lower()
        if text not in _OPENERS and text not in skipped:
            return _span(question, start + word.start(), end)
    return None


def _span(question: str, start: int, end: int) -> Span:
    return Span(question[start:end], start, end, last_word(question[:start]))


def last_word(text: str) -> str:
    """The last word of a text in lower case, or ""."""
    found = _WORD.findall(text[-80:].lower())
    return found[-1] if found else ""


def words(text: str) -> set[str]:
    """The words of a template's text in lower case, its slots aside."""
    return set(_WORD.findall(SLOT.sub(" ", text).lower()))
