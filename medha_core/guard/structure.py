"""How the words of a question hang together: what an operator or a preposition belongs to."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from medha_core.guard.evidence import Difference, Learned
from medha_core.guard.view import HARD, View
from medha_core.reading.lexicon import Lexicon

__all__ = [
    "active_passive",
    "bindings",
    "contradiction",
    "exchanged",
    "is_number",
    "nested",
    "numbered",
    "projection",
    "ranged",
    "rebound",
]

LOOSE_OPERATORS = frozenset(
    ["o:count", "o:each", "o:every", "o:distinct", "o:order", "o:ascending", "o:descending", "o:percent"]
)
"""Operators that belong to the whole question."""
GROUPING = frozenset(["o:each", "o:every"])
"""Those of them that still say of what: `keepers of each animal`, `animals of each keeper`."""
RANKING = frozenset(
    f"o:{operator}"
    for operator in (
        "largest smallest highest lowest longest shortest oldest youngest latest earliest cheapest dearest "
        "best worst most fewest max min nearest farthest"
    ).split()
)
"""Superlatives, which a value before their noun only narrows."""
ONE_PART = ({"p:between", "p:from"}, {"p:through", "p:from"}, {"p:by", "p:from"})
"""Prepositions that may stand for each other."""


def bindings(keys: Sequence[str]) -> set[str]:
    """Each operator, number and preposition with the word it stands before.

    At the end of a question it is bound to what precedes it.
    """
    return {
        f"{key}>{_head(keys, i)}"
        for i, key in enumerate(keys)
        if key[0] in "pn" or (key[0] == "o" and key not in LOOSE_OPERATORS)
    }


def projection(view: View, idle: Collection[str] = ()) -> str:
    """What is asked for: a person, the head of the first noun phrase, else the first word that is no value.

    Where that head is `idle`, it is the next word: the ward in `the name of the ward`.
    """
    if "a:who" in view.keys:
        return "a:who"
    if view.asks in view.keys and view.asks not in idle:
        return view.asks
    begins = view.keys.index(view.asks) + 1 if view.asks in view.keys else 0
    return next((key for key in view.keys[begins:] if key[0] == "w" and key not in idle), "")


def contradiction(a: View, b: View, lexicon: Lexicon) -> str:
    """Which value plays another part in the two questions, or "".

    A value contradicts where both say its part and differ, and where values that could be taken for one
    another stand in another order although no preposition tells them apart.
    """
    first, second = _ends(a.keys), _ends(b.keys)
    if any(second.get(end, operator) != operator for end, operator in first.items()):
        return min(first.values())[2:]
    first, second = _roles(a.keys, lexicon), _roles(b.keys, lexicon)
    for key, role in first.items():
        other = second.get(key, role)
        if role and other and role != other and {role, other} not in ONE_PART:
            return key[2:]
    for alike in _of_one_kind(a, lexicon):
        order = [k for k in first if k in second and k in alike]
        other_order = [k for k in second if k in order]
        for key, other in zip(order, other_order, strict=True):
            if key != other and (first[key] in ("", "p:between") or first[key] != second[key]):
                return key[2:]
    return ""


def exchanged(b: View, now: Sequence[str], learned: Learned, lexicon: Lexicon) -> str:
    """A value that stands where another one stands in the stored question, between the same words, or "".

    The two must be of one kind: of columns that only a direction tells apart, or seen in one column.
    """
    unlike = [i for i, (x, y) in enumerate(zip(now, b.keys, strict=False)) if x != y]
    if len(now) != len(b.keys) or len(unlike) != 2:
        return ""
    i, j = unlike
    x, y = now[i], now[j]
    if (x, y) != (b.keys[j], b.keys[i]) or x[0] != "v" or y[0] != "v":
        return ""
    known = learned.values.columns(x[2:]) & learned.values.columns(y[2:])
    return x[2:] if known or _told_by_direction(b.opened[i][2:], b.opened[j][2:], lexicon) else ""


def _told_by_direction(column: str, other: str, lexicon: Lexicon) -> bool:
    """Whether the names of two columns differ in a direction only: `from_city`, `to_city`."""
    if not (column.isascii() and other.isascii()):
        return False
    words, others = column.lower().split("_"), other.lower().split("_")
    first = [word for word in words if word not in others]
    second = [word for word in others if word not in words]
    if len(first) != 1 or len(second) != 1:
        return False
    return {*first, *second} == {"from", "to"} or lexicon.are_antonyms(first[0], second[0])


def ranged(a: Sequence[str], b: Sequence[str], lexicon: Lexicon) -> str:
    """A number or date that ends a range in the one question and a list of two in the other, or "".

    `from 2019 to 2021`, `in 2019 and 2021`.
    """
    for one, other in ((a, b), (b, a)):
        for i in range(len(one) - 3):
            first, last = one[i + 1], one[i + 3]
            if one[i] != "p:from" or one[i + 2] not in ("p:to", "p:through") or not _is_count(last, lexicon):
                continue
            if (first, last) in pairwise(other):
                return last[2:]
    return ""


def numbered(a: Sequence[str], b: Sequence[str], lexicon: Lexicon) -> str:
    """A number that names one thing in the one question and counts things in the other, or "".

    `table number 4`, `tables with 4 legs`; but `order number 7`, `the details of order 7`.
    """
    for one, other in ((a, b), (b, a)):
        for i in range(1, len(one)):
            number = one[i]
            if one[i - 1][2:] not in lexicon.labels or one[i - 1][2:] in lexicon.calendar:
                continue
            if not is_number(number) or number not in other:
                continue
            j = other.index(number)
            thing, counted = other[j - 1] if j else "", other[j + 1] if j + 1 < len(other) else ""
            if counted[:1] != "w" or thing == one[i - 1] or counted in one[i + 1 : i + 2]:
                continue
            if thing not in one[max(i - 2, 0) : i - 1] or counted not in one:
                return number[2:]
    return ""


def is_number(key: str) -> bool:
    """Whether a key says digits, as a number or as a value."""
    return key[0] in "nv" and key[2:].isdigit()


def _is_count(key: str, lexicon: Lexicon) -> bool:
    """Whether a key is a number, a date or a word of the calendar."""
    return key[0] in "nd" or is_number(key) or key[2:] in lexicon.calendar


def rebound(a: Sequence[str], b: Sequence[str]) -> str:
    """An operator that stands before another word although both questions say both words, or ""."""
    first, second = _heads(a), _heads(b)
    for operator, heads in first.items():
        others = second.get(operator, heads)
        for x, y in zip(sorted(heads - others), sorted(others - heads), strict=False):
            moved = operator == "o:not" and _negated(a) == _negated(b) and _neighbours(x, y, a, b)
            if x not in b or y not in a or moved:
                continue
            if operator not in RANKING or not (_is_attribute(x, y, a) or _is_attribute(y, x, b)):
                return f"{operator[2:]} {x[2:]} / {operator[2:]} {y[2:]}"
    return ""


def _negated(keys: Sequence[str]) -> str:
    """The first value behind `not`, or ""."""
    return next((key for key in keys[keys.index("o:not") :] if key[0] in HARD), "")


def _is_attribute(value: str, noun: str, keys: Sequence[str]) -> bool:
    """Whether a value stands right before a noun: `the best French restaurant`."""
    return value[0] == "v" and any(pair == (value, noun) for pair in pairwise(keys))


def _neighbours(x: str, y: str, a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether `not` only moved over one word: `do not offer classes`, `offer no classes`."""
    first = [key for key in a if key != "o:not"]
    second = [key for key in b if key != "o:not"]
    return any({x, y} == {*pair} for pair in pairwise(first)) and any(
        {x, y} == {*pair} for pair in pairwise(second)
    )


def active_passive(a: View, b: View) -> bool:
    """Whether `verb by X` in one question is `X verb` in the other: `taught by Li`, `Li teaches`."""
    if projection(a) != projection(b):
        return False
    passive, active = (a.keys, b.keys) if "p:by" in a.keys else (b.keys, a.keys)
    place = passive.index("p:by")
    verb, agents = passive[place - 1] if place else "", passive[place + 1 : place + 3]
    agent = next((key for key in agents if key[0] in HARD), agents[0] if agents else "")
    if verb[:1] != "w" or verb not in active or agent not in active:
        return False
    return active.index(agent) < len(active) - 1 - active[::-1].index(verb)


def nested(a: Sequence[str], b: Sequence[str], left: Difference) -> str:
    """Two words that one question says more often than the other: a clause nested once more, or ""."""
    for side, other in zip(left, (b, a), strict=True):
        repeated = sorted({key[2:] for key in side if key[0] == "w" and key in other})
        if len(repeated) > 1:
            return " ".join(repeated)
    return ""


def _is_value(key: str, lexicon: Lexicon) -> bool:
    """Whether a key names data: a value of the query, a number and the like, or a name."""
    return key[0] in HARD or (key[0] == "w" and lexicon.is_name(key[2:]))


def _roles(keys: Sequence[str], lexicon: Lexicon) -> dict[str, str]:
    """Each value with the preposition right before it, or ""; in order."""
    return {
        key: keys[i - 1] if i and keys[i - 1][0] == "p" else ""
        for i, key in enumerate(keys)
        if _is_value(key, lexicon)
    }


def _ends(keys: Sequence[str]) -> dict[str, str]:
    """The superlative right behind `from` and behind `to`: `from the youngest to the oldest`."""
    return {key: nxt for key, nxt in pairwise(keys) if key in ("p:from", "p:to") and nxt in RANKING}


def _of_one_kind(view: View, lexicon: Lexicon) -> list[set[str]]:
    """The values that could be taken for one another: of one column, or of one written form."""
    kinds: dict[str, set[str]] = {}
    for key, opened in zip(view.keys, view.opened, strict=True):
        if _is_value(key, lexicon):
            kinds.setdefault(opened if key[0] == "v" else key[0], set()).add(key)
    return list(kinds.values())


def _heads(keys: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for i, key in enumerate(keys):
        if key == "o:not" or key[:3] == "n:#":
            found.setdefault(key, set()).add(_next(keys, i))
        elif key[0] == "p" or key in GROUPING or (key[0] == "o" and key not in LOOSE_OPERATORS):
            found.setdefault("o:each" if key in GROUPING else key, set()).add(_head(keys, i))
    return found


def _next(keys: Sequence[str], i: int) -> str:
    """What follows, a loose operator too: `not ordered`; of an ordinal the noun: `second largest city`."""
    passed = "pa" if keys[i] == "o:not" else "opa"
    after = next((key for key in keys[i + 1 :] if key[0] not in passed), "")
    return after or _head(keys, i)


def _head(keys: Sequence[str], i: int) -> str:
    after = next((key for key in keys[i + 1 :] if key[0] not in "opa"), "")
    return after or next((key for key in reversed(keys[:i]) if key[0] not in "opa"), "")
