"""What single words do: read once from the data files beside this module."""

import gzip
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations
from typing import Any

__all__ = ["ENGLISH", "Lexicon", "english", "of_language", "others"]

ENGLISH = "en"


class Lexicon:
    """One language: closed-class words from a hand-written file, open-class words from a word list."""

    def __init__(self, language: str):
        table = tomllib.loads(_file(f"{language}.toml").read_text(encoding="utf-8"))
        self.stop = frozenset(table["stop"].split())
        self.request = frozenset(table["request"].split())
        self.wishes = frozenset(table["wishes"].split())
        self.ask = {word: kind for kind, words in table["ask"].items() for word in words.split()}
        self.persons_asked = frozenset(table["persons_asked"].split())
        self.copulas = frozenset(table["copulas"].split())
        self.indefinites = frozenset(table["indefinites"].split())
        self.determiners = frozenset(table["determiners"].split())
        self.auxiliaries = frozenset(table["auxiliaries"].split())
        self.interrogatives = frozenset(table["interrogatives"].split())
        self.openers = frozenset(table["openers"].split())
        self.starters = self.interrogatives | self.request | frozenset(table["starters"].split())
        self.around_numbers = {w: op for op, words in table["around_numbers"].items() for w in words.split()}
        self.attributes = {
            adjective: (attribute, way)
            for attribute, ways in table["attributes"].items()
            for way, adjectives in ways.items()
            for adjective in adjectives.split()
        }
        self.unity: str = table["unity"]
        self.before_unity = frozenset(table["before_unity"].split())
        self.labels = frozenset(table.get("labels", "").split())
        self.filler = self.request | frozenset(table.get("filler", "").split())
        self.anybody = frozenset(table.get("anybody", "").split())
        self.plurals = frozenset(table["plurals"].split())
        self.units = frozenset(table["units"].split())
        self.before_classes = self.determiners | frozenset(table["openers"].split()) | {"of"}
        self.summing = frozenset(f"o:{operator}" for operator in table["summing"].split())
        self.telling = frozenset(f"p:{word}" for word in table["telling"].split())
        self.operators = {w: op for op, words in table["operators"].items() for w in words.split()}
        self.prepositions = {w: p for p, words in table["prepositions"].items() for w in words.split()}
        self.numbers: dict[str, int] = table["numbers"]
        self.multipliers: dict[str, int] = table["multipliers"]
        self.ordinals: dict[str, int] = table["ordinals"]
        self.months: dict[str, int] = table["months"]
        self.spelling: dict[str, str] = table["spelling"]
        self.contractions: dict[str, str] = table["contractions"]
        self.phrases = _phrases(table["phrases"])
        small = table.get("small", {})
        self.inverting = frozenset(small.get("inverting", "").split())
        self.askers = frozenset(small.get("askers", "").split())
        self.times = {w: time for time, words in small.get("times", {}).items() for w in words.split()}
        self.unlike = {w: side for side, words in small.get("unlike", {}).items() for w in words.split()}
        magnitude = table["magnitude"]
        self.quantities = frozenset(magnitude["nouns"].split())
        self.magnitude = {op: way for way in ("max", "min") for op in magnitude[way].split()}
        self.priced = frozenset(f"o:{op}" for op in magnitude.get("priced", "").split())
        self.prices = frozenset(magnitude.get("prices", "").split())
        relative = table["relative"]
        self.relative_words = frozenset(relative["words"].split())
        self.relative_heads = frozenset(relative["heads"].split())
        self.relative_units = frozenset(relative["units"].split())
        inflected = dict(table.get("inflected", {}))
        endings = inflected.pop("endings", "").split()
        self.operators |= {
            stem + ending: op
            for op, stems in inflected.items()
            for stem in stems.split()
            for ending in endings
        }
        self._endings: list[str] = table.get("endings", "").split()
        self._shortest_stem: int = table.get("shortest_stem", 1)
        self.negating = tuple(table["negating"].split())
        self.language = language
        self.words = dict(_pairs(f"{language}_words.txt.gz"))
        self.irregular = dict(_pairs(f"{language}_irregular.txt.gz"))
        groups = [sorted(group.split()) for group in table["alike"]["groups"].split(",")]
        alike = {pair for group in groups for pair in combinations(group, 2)}
        self.synonyms = frozenset(_pairs(f"{language}_synonyms.txt.gz")) | alike
        self._related = frozenset(_lines(f"{language}_related.txt.gz"))
        self.distinct = frozenset(
            tuple(pair.split()) for pair in table["distinct"]["pairs"].split(", ") if pair
        )
        self.calendar = frozenset(table["calendar"]["words"].split()) | self.months.keys()
        opposite = table["opposite"]["pairs"].split(",")
        self.antonyms = frozenset(_pairs(f"{language}_antonyms.txt.gz")) | {
            tuple(sorted(pair.split())) for pair in opposite
        }
        self.closed = frozenset(
            self.stop
            | self.operators.keys()
            | self.prepositions.keys()
            | self.ask.keys()
            | self.numbers.keys()
        )
        self.lemma = lru_cache(maxsize=20_000)(self._cut if self._endings else self._lemma)
        self.antonyms |= {tuple(sorted(map(self.lemma, pair.split()))) for pair in opposite}
        self.light = frozenset(self.lemma(word) for word in (table["light"] + table["light_verbs"]).split())
        self.light_verbs = frozenset(word for word in table["light_verbs"].split())
        self.stem = lru_cache(maxsize=20_000)(_stem)
        self._measures(table.get("measures", {}))

    def _measures(self, table: dict[str, Any]) -> None:
        """What is known of the names of columns; a language may say nothing of them."""

        def keys(words: str) -> frozenset[str]:
            return frozenset(f"w:{self.lemma(word)}" for word in words.split())

        self.measures = {
            f"w:{self.lemma(word)}": keys(nouns) for word, nouns in table.get("also", {}).items()
        }
        self.reached = {
            f"w:{self.lemma(word)}": keys(nouns) for word, nouns in table.get("reached", {}).items()
        }
        self.measured_by = {f"o:{word}": keys(nouns) for word, nouns in table.get("by", {}).items()}
        self.ways = {f"o:{word}": way for way in ("max", "min") for word in table.get(way, "").split()}
        self.sizes = frozenset(f"o:{word}" for word in table.get("sizes", "").split())
        self.crowds, self.people, self.peopled, self.venues = (
            keys(table.get(name, "")) for name in ("crowds", "people", "peopled", "venues")
        )
        self.generic, self.anywhere, self.places, self.counting, self.numbering, self.naming, self.making = (
            frozenset(table.get(name, "").split())
            for name in ("generic", "anywhere", "places", "counting", "numbering", "naming", "making")
        )
        self.moments = frozenset(table.get("moments", "").split())

    def knows(self, word: str) -> bool:
        """Whether the word is English, in any of its regular forms."""
        return (
            word in self.words
            or word in self.closed
            or word in self.irregular
            or self.lemma(word) in self.words
        )

    def is_common(self, word: str) -> bool:
        """Whether the word is English and met often enough that it is hardly a slip for another one."""
        return word in self.closed or word in self.irregular or "+" in self.words.get(self.lemma(word), "")

    def superlative(self, word: str) -> str | None:
        """The adjective a word is the superlative of (`busiest`: busy), or None."""
        return self._adjective(word, "est") if len(word) > 5 and "+" not in self.words.get(word, "") else None

    def comparative(self, word: str) -> str | None:
        """The adjective a word is the comparative of (`longer`: long), or None."""
        return self._adjective(word, "er") if len(word) > 4 else None

    def _adjective(self, word: str, ending: str) -> str | None:
        if not word.endswith(ending):
            return None
        base = word.removesuffix(ending)
        bases = (base, base + "e", base.removesuffix("i") + "y", base[:-1])
        return next((b for b in bases if "a" in self.words.get(b, "")), None)

    def is_name(self, word: str) -> bool:
        """Whether the word is a proper noun, or none the dictionary has."""
        return "p" in self.words.get(word, "") or not (self.knows(word) or self.superlative(word))

    def is_proper(self, word: str) -> bool:
        """Whether the word is a proper noun first of all, and no common verb (`begin`, `march`) besides."""
        parts = self.words.get(word, "")
        return "p" in parts and "v+" not in parts

    def is_past(self, word: str) -> bool:
        """Whether the word is an irregular past form (`sold`)."""
        base = self.irregular.get(word, "")
        return "v+" in self.words.get(base, "") and word not in self.plurals

    def looks_past(self, word: str) -> bool:
        """Whether the word has the form of a past or a participle."""
        return word.endswith("ed") or self.is_past(word)

    def _is_verb_form(self, word: str) -> bool:
        """Whether the word is a form of a common verb (`made`), though it has become an adjective too."""
        return self.is_past(word) and "n+" not in self.words.get(word, "")

    def is_verb(self, word: str) -> bool:
        return "v" in self.words.get(word, "")

    def is_noun(self, word: str) -> bool:
        """Whether the word is a common noun in any of its forms, and no form of a verb."""
        if self.is_name(word) or self.is_past(word):
            return False
        return "n" in self.words.get(self.lemma(word), "") and not word.endswith(("ed", "ing"))

    def is_person(self, word: str) -> bool:
        """Whether the word is first of all a noun for a person."""
        return "h" in self.words.get(word, "")

    def are_synonyms(self, a: str, b: str) -> bool:
        pair = (a, b) if a < b else (b, a)
        return pair in self.synonyms and pair not in self.distinct

    def are_related(self, a: str, b: str) -> bool:
        """Whether the dictionary puts two meanings near each other, which is less than synonyms."""
        a, b = (a, b) if a < b else (b, a)
        return f"{a} {b}" in self._related or (a, b) in self.synonyms

    def are_antonyms(self, a: str, b: str) -> bool:
        """Whether one is the opposite of the other, by the dictionary or by a prefix (`paid`, `unpaid`)."""
        short, long = sorted((a, b), key=len)
        for prefix in self.negating:
            if long.startswith(prefix) and short in (long[len(prefix) :], self.lemma(long[len(prefix) :])):
                return True
        return ((a, b) if a < b else (b, a)) in self.antonyms

    def pairs(self) -> str:
        """A line for each two words that are synonyms, related, or opposites, but for those by a prefix."""
        return "\n".join([*map(" ".join, self.synonyms), *map(" ".join, self.antonyms), *self._related])

    def particular(self) -> frozenset[str]:
        """Words of which more is known than the word lists say: those of all small tables."""
        lists = ("words", "irregular", "synonyms", "_related", "antonyms", "distinct")
        return frozenset(_texts([table for name, table in vars(self).items() if name not in lists]))

    def _lemma(self, word: str) -> str:
        """The dictionary form. Unknown words lose only a plural s, so that they stay themselves."""
        word = self.spelling.get(word, word)
        if word in self.calendar:
            return word
        if word.endswith("es") and "v" in self.words.get(word[:-1], ""):
            return word[:-1]
        if (
            word in self.irregular
            and ("+" not in self.words.get(word, "") or self._is_verb_form(word))
            and self.irregular[word] in self.words
        ):
            return self.irregular[word]
        for candidate, part in _candidates(word):
            if part in self.words.get(candidate, ""):
                return candidate
        if word not in self.words and len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
            return word[:-1]
        return word

    def _cut(self, word: str) -> str:
        """A word of a language without word list, less an ending that makes no other word of it."""
        if word in self.calendar or word in self.closed:
            return word
        for ending in self._endings:
            if word.endswith(ending) and len(word) - len(ending) >= self._shortest_stem:
                return word.removesuffix(ending)
        return word

    def recognises(self, words: Sequence[str]) -> bool:
        """Whether words are of this language: its closed classes know two, and a third of all."""
        return self.tells(words) > 1 and 3 * self.tells(words) >= len(words)

    def tells(self, words: Sequence[str]) -> int:
        """How many different words its closed classes know."""
        return sum(word in self.closed or word in self.phrases for word in set(words))


@cache
def english() -> Lexicon:
    """The English lexicon, read on first use."""
    return Lexicon(ENGLISH)


@cache
def others() -> tuple[Lexicon, ...]:
    """The lexicons of all other languages there is a file of, read when a question is not English."""
    names = sorted(entry.name for entry in (files(__package__) / "lexicons").iterdir())
    found = (name.removesuffix(".toml") for name in names if name.endswith(".toml"))
    return tuple(Lexicon(language) for language in found if language != ENGLISH)


def of_language(language: str) -> Lexicon:
    """The lexicon of a language that has one; English for any other."""
    if language == ENGLISH:
        return english()
    return next((one for one in others() if one.language == language), english())


def _file(name: str):
    return files(__package__) / "lexicons" / name


def _lines(name: str) -> list[str]:
    """The lines of a word list; none for a language without that list."""
    if not _file(name).is_file():
        return []
    return gzip.decompress(_file(name).read_bytes()).decode().splitlines()


def _pairs(name: str) -> Iterator[tuple[str, str]]:
    for line in _lines(name):
        first, _, second = line.partition(" ")
        yield first, second


def _texts(table: object) -> Iterator[str]:
    """All texts in a table, its keys included."""
    if isinstance(table, str):
        yield table
    elif isinstance(table, Mapping):
        yield from _texts([*table.keys(), *table.values()])
    elif isinstance(table, Collection):
        for part in table:
            yield from _texts(part)


def _phrases(table: dict[str, str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """First word -> the phrases it begins, longest first."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for phrase, meaning in table.items():
        words = tuple(phrase.split())
        found.setdefault(words[0], []).append((words, meaning))
    for phrases in found.values():
        phrases.sort(key=lambda pair: -len(pair[0]))
    return found


def _candidates(word: str) -> Iterator[tuple[str, str]]:
    """Base forms a regular ending may come from, with the part of speech they must have.

    The rules are those of English spelling: plural -s, -es, -ies; past -ed; present participle -ing.
    A form that is a noun of its own (`building`, `rating`) stays.
    """
    if word.endswith("ss") or len(word) < 4:
        return
    if word.endswith("ies"):
        yield word[:-3] + "y", "n"
        yield word[:-3] + "y", "v"
    if word.endswith("es"):
        yield word[:-1], "n"
        yield word[:-2], "n"
        yield word[:-1], "v"
        yield word[:-2], "v"
    elif word.endswith("s"):
        yield word[:-1], "n"
        yield word[:-1], "v"
    for ending in ("ied", "ed", "ing"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            base = word[: -len(ending)]
            if ending == "ied":
                yield base + "y", "v"
                continue
            if len(base) > 2 and base[-1] == base[-2] and base[-1] not in "ls":
                yield base[:-1], "v"
            yield base, "v"
            yield base + "e", "v"
            if len(base) > 2 and base[-1] == base[-2]:
                yield base[:-1], "v"


_ENDINGS = [
    "ation",
    "ment",
    "ness",
    "ing",
    "ion",
    "ity",
    "est",
    "ers",
    "ors",
    "ies",
    "ed",
    "er",
    "or",
    "es",
    "ly",
    "al",
    "s",
    "e",
    "y",
]


def _stem(word: str) -> str:
    """A rough stem for telling forms of one word (`fly`, `flying`); never for looking words up."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] else word
