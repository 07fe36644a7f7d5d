"""The same words in other parts: which value belongs to which word, and who does what to whom."""

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

from medha_core.guard.view import HARD
from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon

__all__ = ["compared_otherwise", "doers_turned", "regrouped", "turned"]

OTHER, WHO = "o:other", "a:who"
LONGEST_BLOCK = 3
"""Words over which a verb may have moved: a name, or a noun with what stands before it."""


def regrouped(a: Sequence[str], b: Sequence[str], lexicon: Lexicon) -> str:
    """Two values, or words of the calendar, that have exchanged the words they belong to, or "".

    `leave on Monday and return on Friday`, `leave on Friday and return on Monday`.
    """
    for owners in (_owners(a, b, _before, lexicon), _owners(a, b, _behind, lexicon)):
        for (x, first), (y, second) in combinations(owners.items(), 2):
            if first[0] == second[1] and first[1] == second[0] and first[0] != first[1]:
                return f"{x[2:]} / {y[2:]}"
    return ""


def _owners(
    a: Sequence[str], b: Sequence[str], owner: Callable[[Sequence[str], int], str], lexicon: Lexicon
) -> dict[str, tuple[str, str]]:
    """Each value of both questions with the word it belongs to here and there, where it has one in both."""
    found = {}
    for i, key in enumerate(a):
        if (key[0] in HARD or (key[0] == "w" and key[2:] in lexicon.calendar)) and key in b:
            pair = owner(a, i), owner(b, b.index(key))
            if all(pair):
                found[key] = pair
    return found


def _before(keys: Sequence[str], i: int) -> str:
    """The word before a value, over operators and prepositions; "" where another value comes first."""
    near = next((key for key in reversed(keys[:i]) if key[0] not in "opa"), "")
    return near if near[:1] == "w" else ""


def _behind(keys: Sequence[str], i: int) -> str:
    """The word right behind a value: `5 beds`."""
    return keys[i + 1] if i + 1 < len(keys) and keys[i + 1][0] == "w" else ""


def compared_otherwise(a: Sequence[str], b: Sequence[str]) -> str:
    """What only the one question names behind `than`, although both say it, or "".

    `more this year than last year`, `more last year than this year`.
    """
    first, second = _behind_than(a), _behind_than(b)
    return first[2:] if first and second and first != second and first in b and second in a else ""


def _behind_than(keys: Sequence[str]) -> str:
    place = keys.index("o:than") + 1 if "o:than" in keys else len(keys)
    return next((key for key in keys[place:] if key[0] not in "pa"), "")


def turned(asked: Features, stored: Features, a: Sequence[str], b: Sequence[str], lexicon: Lexicon) -> str:
    """The verb before whose object the other question puts it as subject, or "".

    `which nurses trained doctors`, `which nurses did doctors train`: the same words but for one verb, with
    its preposition, which stands before a noun here and behind it there. And `users followed by X`,
    `users that follow X`.
    """
    if verb := _done_to(asked, a, b, lexicon) or _done_to(stored, b, a, lexicon):
        return verb
    if verb := _suffered(asked, stored, a, b, lexicon) or _suffered(stored, asked, b, a, lexicon):
        return verb
    if len(a) != len(b) or "p:by" in a or a == b:
        return ""
    a, b = _persons(asked, a, b), _persons(stored, b, a)
    unlike = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    if not unlike:
        return ""
    first, last = unlike[0], unlike[-1]
    if not 0 < last - first <= LONGEST_BLOCK or not any(key[0] in "wv" or key == WHO for key in a[:first]):
        return ""
    for x, y in ((a, b), (b, a)):
        verb, behind = x[first], first + 1 + (x[first + 1][0] == "p")
        block = x[behind : last + 1]
        if tuple(y[first : last + 1]) == (*block, *x[first:behind]) and _acts(
            verb, block, asked, stored, lexicon
        ):
            return verb[2:]
    return ""


def doers_turned(
    asked: Features, stored: Features, a: Sequence[str], b: Sequence[str], lexicon: Lexicon
) -> str:
    """The verb that a value does in one question while the other asks for who does it to the value, or "".

    `users that X follows`, `followers of X`.
    """
    return _does(asked, stored, a, b, lexicon) or _does(stored, asked, b, a, lexicon)


def _persons(features: Features, keys: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The keys with `who` for what is asked for, where the other question says `who`."""
    if WHO not in others or WHO in keys:
        return tuple(keys)
    return tuple(WHO if key == features.asks else key for key in keys)


def _done_to(features: Features, keys: Sequence[str], others: Sequence[str], lexicon: Lexicon) -> str:
    """The verb that a value does here (`followed by X`) and that is done to it there (`follow X`), or ""."""
    if "p:by" in others:
        return ""
    for verb, by, doer in zip(keys, keys[1:], keys[2:], strict=False):
        if by != "p:by" or doer[0] not in HARD or (verb, doer) not in pairwise(others):
            continue
        if lexicon.looks_past(_surface(verb, features)):
            return verb[2:]
    return ""


def _suffered(
    features: Features, other: Features, keys: Sequence[str], others: Sequence[str], lexicon: Lexicon
) -> str:
    """The verb that is done to a value here (`was X paid`) and that it does there (`did X pay`), or ""."""
    for value, verb in pairwise(keys):
        if value[0] not in HARD or verb[0] != "w" or (value, verb) not in pairwise(others):
            continue
        if not lexicon.looks_past(_surface(verb, features)):
            continue
        first, second = _auxiliary(verb, features, lexicon), _auxiliary(verb, other, lexicon)
        if first and first not in lexicon.inverting and second in lexicon.inverting:
            return verb[2:]
    return ""


def _auxiliary(key: str, features: Features, lexicon: Lexicon) -> str:
    """The auxiliary nearest before a word, or ""; none where another thing is: `what is the sum X paid`."""
    place = next((item.first for item in features.items if item.key == key), 0)
    texts = [word.text for word in features.words[:place]]
    at = next((i for i in reversed(range(place)) if texts[i] in lexicon.auxiliaries), place)
    if at == place or (texts[at] in lexicon.copulas and texts[at + 1 : at + 2] == ["the"]):
        return ""
    return texts[at]


def _does(
    features: Features, other: Features, keys: Sequence[str], others: Sequence[str], lexicon: Lexicon
) -> str:
    """The verb that a value does there (`X follows`), while here those are asked for who do it, or ""."""
    doer = features.asks
    if doer not in keys or doer in others or not lexicon.is_person(doer[2:]):
        return ""
    if not any(word.text in lexicon.inverting for word in other.words):
        return ""
    stem = lexicon.stem(doer[2:])
    for agent, verb in pairwise(others):
        if agent[0] in HARD and verb[0] == "w" and lexicon.stem(verb[2:]) == stem and verb not in keys:
            return verb[2:] if lexicon.is_verb(verb[2:]) and not lexicon.is_person(verb[2:]) else ""
    return ""


def _acts(verb: str, block: Sequence[str], asked: Features, stored: Features, lexicon: Lexicon) -> bool:
    """Whether a word is a verb here: by a past form, a `do` or `have`, or by another form beside a name."""
    if (
        verb[0] != "w"
        or not lexicon.is_verb(verb[2:])
        or any(key[0] in "opa" for key in block if key != OTHER)
    ):
        return False
    if OTHER in block:  # `birds that eat other birds`, `birds that other birds eat`
        return True
    texts = [_surface(verb, features) for features in (asked, stored)]
    if any(map(lexicon.looks_past, texts)):
        return True
    if any(word.text in lexicon.inverting for features in (asked, stored) for word in features.words):
        return True
    return texts[0] != texts[1] and any(key[0] in HARD for key in block)


def _surface(key: str, features: Features) -> str:
    """How a question spells a word; "" where it is a slip or a synonym there."""
    return next((features.words[i.first].text for i in features.items if i.key == key), "")
