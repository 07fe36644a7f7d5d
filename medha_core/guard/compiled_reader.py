"""Reads questions for the compiled guard: English and ASCII in compiled code, other languages and texts here.

What single words mean comes from the lexicons: their word lists are handed over, and of all other words they
are asked once for each (`reading.facts`).
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import NamedTuple

from medha_core._core import QuestionReader, ReadQuestion, read_stored
from medha_core.guard.pairing import NEAR_OPERATORS
from medha_core.guard.structure import LOOSE_OPERATORS, ONE_PART, RANKING
from medha_core.guard.vetoes import GRAVE
from medha_core.reading.facts import Facts, word_facts
from medha_core.reading.features import query_facts, selects_name
from medha_core.reading.lexicon import Lexicon, english, others
from medha_core.reading.mentions import Mention, find_mentions, plain_value
from medha_core.reading.query import READER, read_query
from medha_core.reading.sense import NO_SENSE, Sense, extreme, sense_of
from medha_core.reading.slots import is_iso_date, slots
from medha_core.reading.words import Word, words

__all__ = ["Keys", "Reader", "Stored", "Words", "reader_of", "shared_reader"]


class Words(NamedTuple):
    """What one lexicon says, as the compiled reader asks it."""

    tokenize: Callable[[str], list[Word]]
    facts: Callable[[str], Facts]
    relations: tuple[Callable[[str, str], bool], ...]
    """Whether two words are synonyms, antonyms, related."""
    words: str
    """A line for each word of its word list with its parts of speech; "" where it has none."""
    irregular: str
    """A line for each irregular form with its base."""
    particular: Collection[str]
    """Words of which more is known than these lists say: `facts` is asked about them and their forms."""
    pairs: str
    """A line for each two words that may be in one of the relations."""
    negating: Collection[str]
    """Prefixes that make a word the opposite of another one."""
    magnitudes: Mapping[str, str]
    """Operators and what they are before a quantity."""
    priced: Collection[str]
    """Those of them that are said of a price only."""
    summing: Collection[str]
    telling: Collection[str]
    """Prepositions that change the answer wherever only one of two questions has them."""


class Keys(NamedTuple):
    """What there is to know of keys in all languages."""

    loose: Collection[str]
    """Operators that belong to the whole question."""
    grave: Collection[str]
    """Operators that no stored pair excuses."""
    ranking: Collection[str]
    """Superlatives."""
    near_operators: Collection[tuple[str, str]]
    """Operators that mean the same."""
    one_part: Collection[tuple[str, str]]
    """Prepositions that may stand for each other."""
    mention: Callable[..., Mention]
    """Makes a mention."""


_KEYS = Keys(LOOSE_OPERATORS, GRAVE, RANKING, NEAR_OPERATORS, [tuple(pair) for pair in ONE_PART], Mention)


class Stored(NamedTuple):
    """What the query of a stored question says."""

    mentions: tuple[Mention, ...]
    slots: tuple[tuple[int, tuple[str, ...], str, bool, bool], ...] | None
    """Mention, columns, spelling, whether it is a number, whether a date; None: nothing can be exchanged."""
    shape: str
    """A digest of the query with the mentioned values left open."""
    names: tuple[str, ...]
    unnamed: bool
    fixed_dates: bool
    selects_name: bool
    sense: Sense


class Reader:
    """Reads questions, each by the lexicon of its language. Safe from several threads.

    `others` gives further languages; they are looked at where the first one does not know every word.
    """

    def __init__(self, lexicon: Lexicon, others: Callable[[], tuple[Lexicon, ...]] = tuple):
        self.core = QuestionReader(_words_of(lexicon), _KEYS)
        self._lexicons = [lexicon]
        self._others = others
        self._lock = threading.Lock()
        """Held while a language is added."""

    def read(self, question: str) -> ReadQuestion:
        """A question as it is asked. Any text is accepted."""
        read = self.core.read(question)
        if read.is_english and read.knows_all:
            return read
        first = self._lexicons[0]
        texts = [word[1] for word in read.words if word[0] == "w"]
        if not first.words:
            return self.core.read_words(read.words, None, 0, first.recognises(texts))
        recognising = [one for one in self._others() if one.recognises(texts)]
        if recognising:  # rarely: only then is it asked how much English there is
            told = first.tells(texts) if read.is_english else 0
            own = next((one for one in recognising if one.tells(texts) > told), None)
            return read if own is None else self._read_by(own, question)
        return read

    def _read_by(self, lexicon: Lexicon, question: str) -> ReadQuestion:
        found = words(question, lexicon)
        readable = None if lexicon.words else lexicon.recognises([w.text for w in found if w.kind == "w"])
        return self.core.read_words(found, None, self._number(lexicon), readable)

    def _number(self, lexicon: Lexicon) -> int:
        with self._lock:
            if lexicon not in self._lexicons:
                self.core.add(_words_of(lexicon))
                self._lexicons.append(lexicon)
            return self._lexicons.index(lexicon)

    def with_query(self, read: ReadQuestion, query: str) -> ReadQuestion:
        """The question with what its query says, as it is stored."""
        made = read_stored(self.core, read, query, READER, self._sense)
        return self._with_query(read, query) if made is None else made

    def _sense(self, query: str = "", *told: object) -> Sense:
        """What a query asks of its data, by what compiled code tells of it."""
        if not told:
            return NO_SENSE
        selected, tables, may_have_extreme, differs, groups = told
        way, column = extreme(query) if may_have_extreme else ("", "")
        return sense_of(selected, tables, way, column, differs, groups, self._lexicons[0])

    def _with_query(self, read: ReadQuestion, query: str) -> ReadQuestion:
        lexicon, found = self._lexicons[read.language], read_query(query)
        said = [Word(*word) for word in read.words]
        mentions = find_mentions(said, found.literals, lexicon, partial(self._spoken, read.language))
        facts = query_facts(query, found, mentions, lexicon)
        shape = hashlib.blake2b(facts["shape"].encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        stored = Stored(
            mentions,
            _slots(mentions, query),
            shape,
            tuple(sorted(facts["names"])),
            facts["unnamed"],
            facts["fixed_dates"],
            selects_name(facts["shape"]),
            facts["sense"],
        )
        return self.core.read_words(said, stored, read.language, read.is_english)

    def _spoken(self, language: int, value: str, _: Lexicon) -> tuple[str, ...]:
        return self.core.word_texts(plain_value(value), language)


@cache
def reader_of(lexicon: Lexicon) -> Reader:
    """The one reader that knows this lexicon alone: questions can be compared that it has read."""
    return Reader(lexicon)


@cache
def shared_reader() -> Reader:
    """The reader of all languages that there is a lexicon of."""
    return Reader(english(), others)


def _words_of(lexicon: Lexicon) -> Words:
    return Words(
        partial(words, lexicon=lexicon),
        partial(word_facts, lexicon=lexicon),
        (lexicon.are_synonyms, lexicon.are_antonyms, lexicon.are_related),
        _lines(lexicon.words),
        _lines(lexicon.irregular),
        lexicon.particular(),
        lexicon.pairs(),
        lexicon.negating,
        {f"o:{operator}": f"o:{way}" for operator, way in lexicon.magnitude.items()},
        lexicon.priced,
        lexicon.summing,
        lexicon.telling,
    )


def _lines(notes: Mapping[str, str]) -> str:
    return "\n".join(map(" ".join, notes.items()))


def _slots(mentions: tuple[Mention, ...], query: str) -> tuple | None:
    made = slots(mentions, query)
    if made is None:
        return None
    return tuple(
        (
            next(i for i, mention in enumerate(mentions) if mention is slot.mention),
            tuple(sorted(slot.columns)),
            slot.spelling,
            slot.is_number,
            is_iso_date(slot.spelling),
        )
        for slot in made
    )
