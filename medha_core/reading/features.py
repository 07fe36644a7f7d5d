"""What the guard knows of one question: computed once, stored with the entry, compared many times."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from medha_core.errors import ArgumentValueError
from medha_core.reading.lexicon import Lexicon, english
from medha_core.reading.literals import Literal, literals, tokenize
from medha_core.reading.mentions import Mention, find_mentions
from medha_core.reading.words import SIGN, WORD, Word, words

__all__ = ["Features", "Item", "extract", "read_words"]

FORMAT = 1
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+")


class Item(NamedTuple):
    """One word that counts, in the form in which it is compared."""

    key: str
    """Kind and canonical form: `w:flight`, `o:most`, `p:from`, `n:10`, `q:...`, `i:...`, `d:...`, `a:where`."""
    first: int
    """Place among the words of the question."""
    last: int
    """One behind its last word."""
    raw: str
    """The word as written, case folded."""
    capital: bool


@dataclass(frozen=True, slots=True)
class Features:
    """One question, read."""

    words: tuple[Word, ...]
    items: tuple[Item, ...]
    english: float
    """Share of its plain words that are English, 0..1."""
    function_words: int
    """English words of the closed classes among them."""
    mentions: tuple[Mention, ...] = ()
    """For a stored question: where the values of its query stand."""
    shape: str = ""
    """For a stored question: its query with the mentioned values left open."""
    names: frozenset[str] = frozenset()
    """For a stored question: stems of the words in the names its query uses."""

    @property
    def is_english(self) -> bool:
        """Whether the lexicon may be trusted for this question."""
        return self.english >= 0.5 and (self.function_words >= 1 or self.english >= 0.75)

    def to_bytes(self) -> bytes:
        """A compact form that `from_bytes` reads back."""
        return json.dumps(
            [FORMAT, self.words, self.items, self.english, self.function_words, self.mentions, self.shape,
             sorted(self.names)],
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Features":
        """Features as `to_bytes` wrote them. Raises `ArgumentValueError` on anything else."""
        try:
            version, found, items, share, closed, mentions, shape, names = json.loads(data)
            if version != FORMAT:
                raise ArgumentValueError("data", f"features of format {FORMAT}", version)
            return cls(
                tuple(Word(*w) for w in found),
                tuple(Item(*i) for i in items),
                share,
                closed,
                tuple(Mention(text, first, last, tuple(which), col) for text, first, last, which, col in mentions),
                shape,
                frozenset(names),
            )
        except (ValueError, TypeError) as error:
            if isinstance(error, ArgumentValueError):
                raise
            raise ArgumentValueError("data", "features as to_bytes() wrote them", data) from error


def extract(question: str, query: str = "", lexicon: Lexicon | None = None) -> Features:
    """Read a question, and where it is to be stored the query with it. Any text is accepted."""
    lexicon = lexicon or english()
    features = read_words(words(question, lexicon), lexicon)
    if not query:
        return features
    found = literals(query)
    mentions = find_mentions(features.words, found)
    return replace(features, mentions=mentions, shape=_shape(query, found, mentions), names=_names(query, lexicon))


def read_words(found: list[Word], lexicon: Lexicon) -> Features:
    """The features of words already read."""
    plain = [w.text for w in found if w.kind == WORD]
    known = sum(lexicon.knows(text) for text in plain)
    closed = sum(text in lexicon.closed for text in plain)
    share = known / len(plain) if plain else 1.0
    return Features(tuple(found), tuple(_items(found, lexicon)), share, closed)


def _shape(query: str, found: list[Literal], mentions: tuple[Mention, ...]) -> str:
    """The query with `?column` where a mentioned value stood."""
    open_slots = {which for mention in mentions for which in mention.literals}
    parts, end = [], 0
    for which, literal in enumerate(found):
        if which in open_slots:
            parts += [query[end : literal.start], f"?{literal.column}"]
            end = literal.end
    return " ".join("".join([*parts, query[end:]]).casefold().split())


def _names(query: str, lexicon: Lexicon) -> frozenset[str]:
    """Stems of the words that the tables, columns and labels of a query are named with."""
    parts = (p.casefold() for t in tokenize(query) if t.kind == "name" for p in _NAME_PART.findall(t.text))
    return frozenset(lexicon.stem(lexicon.lemma(p)) for p in parts if len(p) > 2)


def _items(found: list[Word], lexicon: Lexicon) -> Iterable[Item]:
    i, asking = 0, True
    while i < len(found):
        length, keys = _phrase(found, i, lexicon)
        if not length:
            length, keys = 1, _single(found, i, lexicon, asking)
        for key in keys:
            asking = asking and key[0] == "a"
            yield Item(key, i, i + length, found[i].text, found[i].capital and i > 0)
        i += length


def _phrase(found: list[Word], i: int, lexicon: Lexicon) -> tuple[int, list[str]]:
    for phrase, meaning in lexicon.phrases.get(found[i].text, ()):
        if tuple(w.text for w in found[i : i + len(phrase)]) == phrase:
            return len(phrase), [_meaning(meaning)] if meaning else []
    return 0, []


def _meaning(text: str) -> str:
    return {"@": "o:", ">": "p:", "?": "a:"}.get(text[0], "w:") + text.lstrip("@>?")


def _single(found: list[Word], i: int, lexicon: Lexicon, asking: bool) -> list[str]:
    """The items of one word. Cases: not a word; structure; request; stop; content."""
    word = found[i]
    if word.kind == SIGN:
        return [f"o:{word.text[1:]}"]
    if word.kind != WORD:
        return [f"{word.kind}:{word.text}"]
    text = word.text
    if text in lexicon.ask:
        return [f"a:{lexicon.ask[text]}"]
    if text == "to" and i + 1 < len(found) and found[i + 1].text in lexicon.request:
        return []
    if text == "like" and i and found[i - 1].text in lexicon.wishes:
        return []
    if text in lexicon.request and i and found[i - 1].text in lexicon.wishes | {"to", "you"}:
        return []
    if text == "no" and i == 0 and len(found) > 1 and found[1].text in lexicon.stop:
        return []
    if text in lexicon.operators:
        return [f"o:{lexicon.operators[text]}"]
    if text in lexicon.prepositions:
        return [f"p:{lexicon.prepositions[text]}"]
    if text in lexicon.stop or (asking and text in lexicon.request):
        return []
    if text in lexicon.ordinals and i + 1 < len(found):
        return [f"n:#{lexicon.ordinals[text]}"]
    return [f"w:{lexicon.lemma(text)}"]
