"""What is known of one question: computed once, compared many times."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from medha_core.reading.lexicon import ENGLISH, Lexicon, english, of_language, others
from medha_core.reading.literals import Literal
from medha_core.reading.mentions import Mention, find_mentions
from medha_core.reading.query import ReadQuery, read_query
from medha_core.reading.sense import NO_SENSE, Sense, read_sense
from medha_core.reading.words import IDENTIFIER, NUMBER, SIGN, WORD, Word, words

__all__ = ["Features", "Item", "extract", "read_words"]

_DATE = re.compile(r"\d{4}-\d{1,2}(-\d{1,2})?")
BOUNDS, BEFORE_QUANTITY = frozenset(["o:ge", "o:le"]), frozenset(["o:gt", "o:lt"])
"""What may stand behind its number: `5 or more`; and before its quantity: `over the age of 65`."""
_MARKS = {"@": "o:", ">": "p:", "?": "a:"}
"""How the lexicon marks what a phrase stands for: an operator, a preposition, an interrogative."""


class Item(NamedTuple):
    """One word that counts, in the form in which it is compared."""

    key: str
    """Kind and form: word `w:flight`, operator `o:most`, preposition `p:from`, interrogative `a:where`,
    number `n:10`, date `d:...`, quoted string `q:...`, identifier `i:...`."""
    first: int
    """Place among the words of the question."""
    last: int
    """One behind its last word."""


@dataclass(frozen=True, slots=True)
class Features:
    """One question, read; for a stored one also what its query says about it."""

    words: tuple[Word, ...]
    items: tuple[Item, ...]
    is_english: bool
    """Whether the lexicon of its language may be trusted for this question."""
    relative: bool
    """Whether it names a time that moves with the day (`yesterday`, `last week`)."""
    asks: str = ""
    """The item that says what is asked for: the head of the first noun phrase."""
    mentions: tuple[Mention, ...] = ()
    """Where the values of the query stand."""
    shape: str = ""
    """The query with the mentioned values left open."""
    names: frozenset[str] = frozenset()
    """Stems of the words in the names the query uses."""
    fixed_dates: bool = False
    """Whether the query holds a date that the question does not name."""
    unnamed: bool = False
    """Whether the query holds a value, of whatever spelling, that the question does not name as it stands."""
    opened: tuple[str, ...] = ()
    """The compared items with the column in place of each value."""
    language: str = ENGLISH
    """Whose lexicon it was read with."""
    sense: Sense = NO_SENSE
    """What the query asks of its data."""

    @property
    def selects_name(self) -> bool:
        """Whether the stored query is an SQL query that selects a name."""
        return selects_name(self.shape)


def selects_name(shape: str) -> bool:
    """Whether a query of this shape is an SQL query that selects a name."""
    head, found, _ = shape.partition(" from " if " from " in shape else " FROM ")
    return bool(found) and "name" in head.lower()


def extract(question: str, query: str = "", lexicon: Lexicon | None = None) -> Features:
    """Read a question, and where it is to be stored the query with it. Any text is accepted."""
    features = _read(question, lexicon)
    lexicon = lexicon or of_language(features.language)
    if not query:
        return features
    read = read_query(query)
    mentions = find_mentions(features.words, read.literals, lexicon)
    return replace(features, mentions=mentions, **query_facts(query, read, mentions, lexicon))


def query_facts(query: str, read: ReadQuery, mentions: Sequence[Mention], lexicon: Lexicon) -> dict[str, Any]:
    """What a query says besides the values that the question mentions."""
    found = read.literals
    named = {which for mention in mentions for which in mention.literals}
    return {
        "shape": _shape(query, found, named),
        "names": frozenset(lexicon.stem(lexicon.lemma(part)) for part in read.name_parts),
        "unnamed": any(f.column not in ("", "limit") for i, f in enumerate(found) if i not in named),
        "fixed_dates": any(_DATE.match(f.value) for i, f in enumerate(found) if i not in named),
        "sense": read_sense(query, lexicon),
    }


def _read(question: str, lexicon: Lexicon | None) -> Features:
    """The words by a given lexicon, or that of their language; English where none knows better."""
    if lexicon is not None:
        return read_words(words(question, lexicon), lexicon)
    features = read_words(words(question, english()), english())
    texts = [word.text for word in features.words if word.kind == WORD]
    if features.is_english and all(map(english().knows, texts)):
        return features
    told = english().tells(texts) if features.is_english else 0
    own = next((one for one in others() if one.recognises(texts) and one.tells(texts) > told), None)
    return features if own is None else read_words(words(question, own), own)


def read_words(found: Sequence[Word], lexicon: Lexicon) -> Features:
    """The features of words already read."""
    items = tuple(_bounds_first(list(_items(found, lexicon)), found, lexicon))
    asks = _asked_for(found, items, lexicon)
    return Features(
        tuple(found),
        _fronted(items, found, asks, lexicon),
        _is_english(found, lexicon),
        _is_relative(found, lexicon),
        asks,
        language=lexicon.language,
    )


def _fronted(items: tuple[Item, ...], found: Sequence[Word], asks: str, lexicon: Lexicon) -> tuple[Item, ...]:
    """`which house ... is the cheapest` with its last word where `the cheapest house` has it."""
    if len(items) < 2 or items[-1].key[:2] != "o:" or items[-1].last != len(found):
        return items
    first = items[-1].first
    if first < 2 or found[first - 1].text != "the" or found[first - 2].text not in lexicon.copulas:
        return items
    place = next((i for i, item in enumerate(items) if item.key == asks), -1)
    if place < 0:
        return items
    at = items[place].first
    return (*items[:place], Item(items[-1].key, at, at), *items[place:-1])


def _asked_for(found: Sequence[Word], items: Sequence[Item], lexicon: Lexicon) -> str:
    """The last noun of the first unbroken row of content words: `names` in `employee names of ...`.

    A part that opens the question (`for each shop, what ...`) is passed over, and a row that runs into the
    verb (`which products cost ...`) ends before it.
    """
    begins = _question_begins(found, lexicon)
    row: list[Item] = []
    for item in items:
        if item.first < begins or (item.key[0] != "w" and not row):
            continue
        if item.key[0] != "w" or (
            row and (item.first != row[-1].last or not lexicon.is_noun(found[item.first].text))
        ):
            break
        row.append(item)
    if len(row) > 1 and _lacks_auxiliary(found, begins, lexicon):
        row = _without_verb(row, found, lexicon)
    return row[-1].key if row else ""


def _question_begins(found: Sequence[Word], lexicon: Lexicon) -> int:
    """Where what is asked for begins, behind a part with a preposition before it."""
    if not found or found[0].text not in lexicon.openers:
        return 0
    starts = (i for i, word in enumerate(found) if i > 1 and word.text in lexicon.starters)
    return next(starts, 0)


def _lacks_auxiliary(found: Sequence[Word], begins: int, lexicon: Lexicon) -> bool:
    """Whether this is a question whose only verb is a content word."""
    texts = {word.text for word in found[begins:]}
    return not lexicon.interrogatives.isdisjoint(texts) and lexicon.auxiliaries.isdisjoint(texts)


def _without_verb(row: list[Item], found: Sequence[Word], lexicon: Lexicon) -> list[Item]:
    """The row up to the last word that agrees, as a verb, with the word before it."""
    for place in range(len(row) - 1, 0, -1):
        text, before = found[row[place].first].text, found[row[place - 1].first].text
        if "v" not in lexicon.words.get(lexicon.lemma(text), ""):
            continue
        if text in lexicon.irregular or text.endswith("s") != before.endswith("s"):
            return row[:place]
    return row


def _is_english(found: Sequence[Word], lexicon: Lexicon) -> bool:
    """At least half of the words are English; three quarters, a closed-class word or a word of asking say so.

    Of a language without word list its closed classes decide.
    """
    if not lexicon.words:
        return lexicon.recognises([w.text for w in found if w.kind == WORD])
    plain = [w.text for w in found if w.kind == WORD]
    foreign = sum(w.kind == IDENTIFIER and not w.text.isascii() for w in found)
    if not plain:
        return not foreign
    share = sum(lexicon.knows(text) for text in plain) / (len(plain) + foreign)
    if share >= 0.75 or share < 0.5:
        return share >= 0.75
    # Names may be half of a question: `who manages Leila Ahmadi`, `list Globex's invoices`.
    return plain[0] in lexicon.request or any(
        text in lexicon.closed or text in lexicon.interrogatives for text in plain
    )


def _is_relative(found: Sequence[Word], lexicon: Lexicon) -> bool:
    texts = [w.text for w in found]
    if not lexicon.relative_words.isdisjoint(texts):
        return True
    heads = (i for i, text in enumerate(texts) if text in lexicon.relative_heads)
    return any(lexicon.lemma(t) in lexicon.relative_units for i in heads for t in texts[i + 1 : i + 3])


def _shape(query: str, found: Sequence[Literal], named: set[int]) -> str:
    """The query with `?column` where a mentioned value stood."""
    parts, end = [], 0
    for which, literal in enumerate(found):
        if which in named:
            parts += [query[end : literal.start], f"?{literal.column}"]
            end = literal.end
    return " ".join("".join([*parts, query[end:]]).split())


def _items(found: Sequence[Word], lexicon: Lexicon) -> Iterator[Item]:
    i, asking = 0, True
    while i < len(found):
        length, key = _phrase(found, i, lexicon)
        if not length:
            length, key = 1, _single(found, i, lexicon, asking)
        if key:
            asking = asking and key[0] == "a"
            yield Item(key, i, i + length)
        i += length


def _bounds_first(items: list[Item], found: Sequence[Word], lexicon: Lexicon) -> list[Item]:
    """`5 or more` as `at least 5`, `over the age of 65` as `age over 65`: the bound right before its number.

    Where it stood elsewhere it takes no place of its own.
    """
    for k in range(len(items) - 2):
        key, first, _ = items[k]
        _, number, _ = items[k + 2]
        if key not in BEFORE_QUANTITY or found[number].kind != NUMBER or number - first >= 5:
            continue
        if found[first].text in lexicon.around_numbers and items[k + 1].key[2:] in lexicon.quantities:
            items[k : k + 2] = items[k + 1], Item(key, number - 1, number - 1)
    for k in range(1, len(items)):
        key, first, last = items[k]
        if key not in BOUNDS or first < 2 or items[k - 1].last != first or found[first - 1].kind != NUMBER:
            continue
        if last == len(found) or found[last].kind != NUMBER:
            items[k - 1 : k + 1] = Item(key, first - 2, first - 2), items[k - 1]
    return items


def _phrase(found: Sequence[Word], i: int, lexicon: Lexicon) -> tuple[int, str]:
    for phrase, meaning in lexicon.phrases.get(found[i].text, ()):
        if tuple(w.text for w in found[i : i + len(phrase)]) == phrase:
            if len(phrase) == 2 and meaning == "@count" and _is_part_of_noun(found, i, lexicon):
                continue
            return len(phrase), phrase_key(meaning)
    return 0, ""


def _is_part_of_noun(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether `number of` says which one: `the room number of Li`, but not `by room number of guests`."""
    before = found[i - 1].text if i else ""
    if found[i].text not in lexicon.labels or not (
        _is_plain_noun(before, lexicon) or lexicon.is_proper(before)
    ):
        return False
    behind = i + 2 + (i + 2 < len(found) and found[i + 2].text in lexicon.determiners)
    counted = found[behind].text if behind < len(found) else ""
    return not (_is_plain_noun(counted, lexicon) and lexicon.lemma(counted) != counted)


def _is_plain_noun(text: str, lexicon: Lexicon) -> bool:
    return lexicon.is_noun(text) and text not in lexicon.closed and text not in lexicon.request


def phrase_key(meaning: str) -> str:
    """The key of a phrase with this meaning, "" where it has none."""
    return _MARKS.get(meaning[:1], "w:") + meaning.lstrip("@>?") if meaning else ""


def _single(found: Sequence[Word], i: int, lexicon: Lexicon, asking: bool) -> str:
    """The key of one word, "" where it says nothing. Cases: no word; politeness; structure; content."""
    word = found[i]
    text = word.text
    if word.kind == SIGN:
        return f"o:{text[1:]}"
    if word.kind != WORD:
        return f"{word.kind}:{text}"
    if _is_polite(found, i, lexicon, asking):
        return ""
    if text in lexicon.ask:
        wants_one = lexicon.ask[text] == "where" and asking and _wants_one(found, i, lexicon)
        return "" if wants_one else f"a:{lexicon.ask[text]}"
    if text in lexicon.persons_asked:
        return "a:who" if asking and not _is_named_next(found, i, lexicon) else ""
    if text in lexicon.around_numbers and _bounds(found, i + 1, lexicon):
        return f"o:{lexicon.around_numbers[text]}"
    if text == "than" and i and (compared := _compared(found[i - 1].text, lexicon)):
        return f"o:{compared[1]}"
    if text == lexicon.unity and i and found[i - 1].text in lexicon.before_unity:
        return "n:1"
    if text in lexicon.operators:
        operator = lexicon.operators[text]
        if operator == "all":
            return "o:each" if _is_object(found, i, lexicon) else ""
        return "o:each" if operator == "every" and _is_object(found, i, lexicon) else f"o:{operator}"
    if text in lexicon.prepositions:
        return f"p:{lexicon.prepositions[text]}"
    if text in lexicon.stop:
        return ""
    if text in lexicon.ordinals and i + 1 < len(found):
        return f"n:#{lexicon.ordinals[text]}"
    if adjective := lexicon.superlative(text):
        return f"o:most {adjective}"
    if i + 1 < len(found) and found[i + 1].text == "than":
        if compared := _compared(text, lexicon):
            return "" if _has_unit(found, i + 2, lexicon) else f"w:{compared[0]}"
        if adjective := lexicon.comparative(text):
            return f"o:more {adjective}"
    return f"w:{lexicon.lemma(text)}"


def _bounds(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether a number stands here, or an average, or a quantity with its number: `over the age of 65`."""
    if i < len(found) and found[i].kind == NUMBER:
        return True
    if i < len(found) and found[i].text in lexicon.determiners:
        i += 1
    if i < len(found) and lexicon.operators.get(found[i].text) == "average":
        return True
    if i < len(found) and found[i].text in lexicon.quantities:
        i += 1 + (i + 1 < len(found) and found[i + 1].text == "of")
        return i < len(found) and found[i].kind == NUMBER
    return False


def _is_object(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether a content word stands before: `sold every book` means all, `name of every book` any."""
    before = found[i - 1].text if i > 1 else ""
    return bool(before) and not (before in lexicon.closed or before in lexicon.request)


def _compared(text: str, lexicon: Lexicon) -> tuple[str, str] | None:
    """The attribute a comparative compares and which way: `older` the age, `gt`."""
    adjective = lexicon.comparative(text)
    return lexicon.attributes.get(adjective) if adjective else None


def _has_unit(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether a number with a unit stands here, which says by itself what is compared."""
    return (
        i + 1 < len(found) and found[i].kind == NUMBER and lexicon.lemma(found[i + 1].text) in lexicon.units
    )


def _wants_one(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether `where is a ...` or `where can I find ...` asks for some, and not for a place."""
    texts = [word.text for word in found[i + 1 : i + 4]]
    if len(texts) < 2:
        return False
    if texts[0] in lexicon.copulas:
        return texts[1] in lexicon.indefinites
    return texts[0] in lexicon.auxiliaries and texts[-1] in lexicon.request


def _is_named_next(found: Sequence[Word], i: int, lexicon: Lexicon) -> bool:
    """Whether `who is the ...` or `who is ...'s manager` says itself whom it asks for."""
    texts = [word.text for word in found[i + 1 :]]
    if len(texts) < 2 or texts[0] not in lexicon.copulas:
        return False
    return texts[1] in lexicon.determiners or lexicon.is_person(texts[-1])


def _is_polite(found: Sequence[Word], i: int, lexicon: Lexicon, asking: bool) -> bool:
    """Words of asking: `show me`, `i would like to see`, a `no` that only opens the sentence."""
    text = found[i].text
    before = found[i - 1].text if i else ""
    after = found[i + 1].text if i + 1 < len(found) else ""
    if text in lexicon.request:
        return asking or before in lexicon.wishes or before in ("to", "you")
    if text == "am":
        return before == "i"
    if text == "name":
        return not i or before == "please"
    if text == "to":
        return after in lexicon.request
    if text == "like":
        return before in lexicon.wishes
    return text == "no" and not i and after in lexicon.stop
