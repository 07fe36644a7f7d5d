"""A question as words, numbers, quoted strings and identifiers, each with its place in the text."""

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

from medha_core.reading.lexicon import Lexicon

_LONGEST_NUMBER = 40
"""Characters; longer runs of digits name something, and Python refuses to read very long ones."""

__all__ = ["Word", "spoken_numbers", "word_parts", "words"]

WORD, NUMBER, QUOTED, IDENTIFIER, DATE, SIGN = "wnqids"

# The looks ahead are bounded, so that no text is read more than a constant number of times.
_TOKEN = re.compile(
    r"""
    (?P<q>"[^"]*"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|(?<![^\s(,=])'[^']*[^'\s][^']*'(?![^\s.,;:?!)]))
  | (?P<d>\d{4}-\d{1,2}-\d{1,2}(?:[T\s]\d{1,2}:\d{2}(?::\d{2})?)?(?![\w-]))
  | (?P<i>(?:[\w.+-]{1,64}@[\w-]+\.[\w.-]+)|(?:https?://\S+))
  | (?P<n>[$€£¥]?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\s?(?:%|(?:k|bn|[ap]\.?m)\b\.?)?(?![\w]|[-/:.]\w))
  | (?P<j>(?=\w)(?=[\w./:\#-]{0,127}\d)(?=[\w./:\#-]{0,127}[^\W_])
      \w(?:[\w/:\#-]|\.(?=\w))*\w|\d[\d/:.-]*\d|\w*_\w+)
  | (?P<w>[^\W\d_](?:[^\W\d_]|[\u0300-\u036f]|['’](?=[^\W\d_]))*(?:\+\+|\#)?)
  | (?P<s><=|>=|<>|!=|[<>=%]|(?<=\d)\+(?![\w+]))
    """,
    re.VERBOSE,
)

_SIGNS = {
    "<": "@lt",
    ">": "@gt",
    "<=": "@le",
    ">=": "@ge",
    "!=": "@not",
    "<>": "@not",
    "=": "@eq",
    "%": "@percent",
    "+": "@ge",
}


class Word(NamedTuple):
    """One token of a question."""

    kind: str
    """`w` word, `n` number, `q` quoted string, `i` identifier, `d` date, `s` sign."""
    text: str
    """Compared form: case folded, digits as ASCII, quotes off."""
    start: int
    end: int
    quoted: str = ""
    """For a quoted string: what stands between the quotes, as written."""


def words(question: str, lexicon: Lexicon) -> list[Word]:
    """The tokens of a question, in order; whatever is only punctuation is left out."""
    found: list[Word] = []
    for match in _TOKEN.finditer(question):
        kind, text = match.lastgroup or "", match.group()
        place = (match.start(), match.end())
        if kind == "w":
            if text in ("s", "S") and question[place[0] - 1 : place[0]] in ("'", "’"):
                continue
            found.extend(_word(text, place, lexicon))
        elif kind == "n":
            number = _number(text, place)
            found.extend(_negative(number) if _has_sign(question, place[0]) else number)
        elif kind == "q":
            found.append(Word(QUOTED, _folded(text[1:-1]), *place, text[1:-1].strip()))
        elif kind == "d":
            found.append(Word(DATE, _iso(text), *place))
        elif kind == "s":
            found.append(Word(SIGN, _SIGNS[text], *place))
        else:
            found.append(Word(IDENTIFIER, _folded(text), *place))
    return spoken_numbers(found, lexicon)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _word(text: str, place: tuple[int, int], lexicon: Lexicon) -> list[Word]:
    return [Word(WORD, part, *place) for part in word_parts(_folded(text).replace("’", "'"), lexicon)]


def word_parts(folded: str, lexicon: Lexicon) -> list[str]:
    """What a word in lower case is short for: `don't` is `do not`; most words are themselves."""
    whole = lexicon.contractions.get(folded)
    if whole is None and folded.endswith("n't"):
        whole = f"{folded[:-3]} not"
    if whole is None and folded.endswith("'s"):
        whole = folded[:-2]
    return whole.split() if whole else [folded.replace("'", "")]


def _has_sign(question: str, start: int) -> bool:
    """Whether a minus stands before a number, and nothing that makes it a hyphen or a range."""
    return question[start - 1 : start] in ("-", "\N{MINUS SIGN}") and (
        start == 1 or question[start - 2] in " \t\n(=<>:,"
    )


def _negative(number: list[Word]) -> list[Word]:
    first, *unit = number
    return [first._replace(text=f"-{first.text}") if first.kind == NUMBER else first, *unit]


def _number(text: str, place: tuple[int, int]) -> list[Word]:
    folded = _folded(text).replace(",", "")
    currency = folded[0] in "$€£¥"
    percent = folded.endswith("%")
    match = re.match(r"[$€£¥]?\s?([\d.]+)\s?(k|bn|a\.?m|p\.?m)?", folded)
    if match is None or len(folded) > _LONGEST_NUMBER or match[1].count(".") > 1:
        return [Word(IDENTIFIER, folded, *place)]
    value, suffix = match.groups()
    if suffix and suffix[0] in "ap":
        return [Word(DATE, f"{_plain(value)}{suffix[0]}m", *place)]
    scale = {"k": 1_000, "bn": 1_000_000_000}.get(suffix or "", 1)
    found = [Word(NUMBER, _plain(value, scale), *place)]
    if percent:
        found.append(Word(WORD, "percent", *place))
    if currency:
        found.append(Word(WORD, {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}[folded[0]], *place))
    return found


def _plain(value: str, scale: int = 1) -> str:
    """A number without its spelling: `10.50` and `10.5` are one, and no precision is lost in a float."""
    whole, _, fraction = value.partition(".")
    whole = str(int(whole or "0"))
    fraction = fraction.rstrip("0")
    if scale == 1 or not fraction:
        return f"{int(whole) * scale}.{fraction}" if fraction else str(int(whole) * scale)
    return f"{(Decimal(value) * scale).normalize():f}"


def _iso(text: str) -> str:
    date, _, time = re.sub(r"\s", "T", text).partition("T")
    year, month, day = date.split("-")
    return f"{year}-{int(month):02d}-{int(day):02d}" + (f"T{time}" if time else "")


def spoken_numbers(found: list[Word], lexicon: Lexicon) -> list[Word]:
    """Join number words to one number (`twenty five`, `2 million`) and month names to dates."""
    joined: list[Word] = []
    i = 0
    while i < len(found):
        stop, value = _number_at(found, i, lexicon)
        if stop > i:
            joined.append(Word(NUMBER, value, found[i].start, found[stop - 1].end))
            i = stop
        else:
            joined.append(found[i])
            i += 1
    return joined


def _number_at(found: list[Word], i: int, lexicon: Lexicon) -> tuple[int, str]:
    """Where the number that begins at `i` ends, and its value; `(i, "")` where none begins."""
    first = found[i]
    if first.kind == NUMBER:
        following = found[i + 1].text if i + 1 < len(found) else ""
        scale = lexicon.multipliers.get(following, 0) if len(following) > 2 else 0
        return (i + 2, _plain(first.text, scale)) if scale else (i, "")
    total, group, j = 0, 0, i
    while j < len(found) and found[j].kind == WORD:
        text = found[j].text
        if text in lexicon.numbers:
            group += lexicon.numbers[text]
        elif text in lexicon.multipliers and len(text) > 2 and j > i:
            group, total = (
                (group * 100, total)
                if lexicon.multipliers[text] == 100
                else (0, total + group * lexicon.multipliers[text])
            )
        else:
            break
        j += 1
    return (j, str(total + group)) if j > i else (i, "")
