"""What the lexicon says of one word, in one tuple, as the compiled guard asks it."""

from typing import NamedTuple

from medha_core.reading.features import _compared, phrase_key
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.words import word_parts

__all__ = ["Facts", "word_facts"]


class Facts(NamedTuple):
    """One word. Keys are those of `Item.key`, "" where there is none."""

    flags: int
    """One bit for each question of `word_facts`, in its order (ext/guard_lexicon.hpp names them)."""
    settled: bool
    """Whether the word has this key wherever it stands, or says nothing."""
    key: str
    """That key, else the key of the word as content."""
    ordinal: str
    """The key where something follows."""
    superlative: str
    comparative: str
    """The key before `than`."""
    around: str
    """The key before a number."""
    compared: str
    """Of a comparative: the key of the attribute it compares, and that of the `than` behind it."""
    compared_way: str
    stem: str
    lemma_stem: str
    """The stem of the dictionary form."""
    number: str
    """Of a number word: its digits."""
    parts: tuple[str, ...]
    """What the word is short for; empty where it is itself."""
    phrases: tuple[tuple[tuple[str, ...], str], ...]
    """The phrases it begins, longest first, each with its key."""


def word_facts(text: str, lexicon: Lexicon) -> Facts:
    """What the lexicon says of a word. Any text is accepted."""
    lemma = lexicon.lemma(text)
    superlative, comparative = lexicon.superlative(text), lexicon.comparative(text)
    around = "" if text in lexicon.ask else lexicon.around_numbers.get(text, "")
    compared = _compared(text, lexicon)
    structure, parts = _structure(text, lexicon), word_parts(text, lexicon)
    answers = (
        text.isalpha(),
        lexicon.is_common(text),
        lexicon.knows(text),
        text in lexicon.closed,
        lexicon.is_name(text),
        lexicon.is_noun(text),
        text in lexicon.light,
        text in lexicon.calendar,
        text in lexicon.quantities,
        text in lexicon.stop,
        text in lexicon.request,
        text in lexicon.wishes,
        text in lexicon.relative_words,
        text in lexicon.relative_heads,
        lemma in lexicon.relative_units,
        text in lexicon.multipliers and len(text) > 2,
        text in lexicon.persons_asked and text not in lexicon.ask,
        text in lexicon.copulas,
        text in lexicon.determiners,
        text in lexicon.openers,
        text in lexicon.starters,
        text in lexicon.interrogatives,
        text in lexicon.auxiliaries,
        text in lexicon.units,
        lemma in lexicon.units,
        "v" in lexicon.words.get(text, ""),
        "v" in lexicon.words.get(lemma, ""),
        text in lexicon.irregular,
        lexicon.is_person(text),
        text in lexicon.before_classes,
        text in lexicon.light_verbs,
        text == lexicon.unity and text not in lexicon.ask,
        text in lexicon.before_unity,
        lexicon.is_proper(text),
        text in lexicon.indefinites,
        lexicon.looks_past(text),
        text in lexicon.inverting,
        text in lexicon.askers,
        lexicon.times.get(text) == "future",
        lexicon.times.get(text) == "past",
        lexicon.times.get(text) == "possible",
        lexicon.unlike.get(text) == "one",
        lexicon.unlike.get(text) == "other",
        text in lexicon.generic,
        text in lexicon.anywhere,
        text in lexicon.naming,
        text in lexicon.making,
        text in lexicon.prices,
        text in lexicon.moments,
        text in lexicon.labels,
        text in lexicon.anybody,
        text in lexicon.filler,
    )
    return Facts(
        sum(answer << bit for bit, answer in enumerate(answers)),
        structure is not None,
        f"w:{lemma}" if structure is None else structure,
        f"n:#{lexicon.ordinals[text]}" if text in lexicon.ordinals else "",
        f"o:most {superlative}" if superlative else "",
        f"o:more {comparative}" if comparative else "",
        f"o:{around}" if around else "",
        f"w:{compared[0]}" if compared else "",
        f"o:{compared[1]}" if compared else "",
        lexicon.stem(text),
        lexicon.stem(lemma),
        str(lexicon.numbers[text]) if text in lexicon.numbers else "",
        () if parts == [text] else tuple(parts),
        tuple((words, phrase_key(meaning)) for words, meaning in lexicon.phrases.get(text, ())),
    )


def _structure(text: str, lexicon: Lexicon) -> str | None:
    """The key of a word of structure, "" for one that says nothing, None for a word of content."""
    if text in lexicon.ask:
        return f"a:{lexicon.ask[text]}"
    if text in lexicon.operators:
        return f"o:{lexicon.operators[text]}"
    if text in lexicon.prepositions:
        return f"p:{lexicon.prepositions[text]}"
    return "" if text in lexicon.stop else None
