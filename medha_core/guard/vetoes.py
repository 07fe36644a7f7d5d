"""What no score can outweigh: differences that change the answer."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from medha_core.guard.evidence import Learned
from medha_core.guard.pairing import Pairing, opposites
from medha_core.guard.roles import compared_otherwise, regrouped
from medha_core.guard.structure import (
    active_passive,
    contradiction,
    exchanged,
    is_number,
    nested,
    numbered,
    projection,
    ranged,
    rebound,
)
from medha_core.guard.verdict import Reason, Verdict, reject
from medha_core.guard.view import HARD, View
from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon

__all__ = ["veto"]

GRAVE = frozenset(["o:not", "o:or", "o:only"])
"""Operators that no stored pair excuses."""
WHERE, WHEN = "a:where", "a:when"
FROM_TO = ((("p:to",), ("p:from",)), (("p:from",), ("p:to",)))
SUPPORT = 2
"""Queries that must have stayed the same for other operators."""
_HARD_REASONS = {
    "v": Reason.VALUE,
    "n": Reason.NUMBER,
    "d": Reason.DATE,
    "q": Reason.QUOTED,
    "i": Reason.IDENTIFIER,
}


def veto(
    a: View, b: View, pairing: Pairing, stored: Features, lexicon: Lexicon, learned: Learned
) -> Verdict | None:
    """The objection to a candidate, or None.

    A difference that stored pairs have shown to be harmless is objected to only for its structure.
    """
    left, right = pairing.left
    for key in (*left, *right):
        if key[0] in HARD:
            return reject(_HARD_REASONS[key[0]], f"{key[2:]} is in one question only")
    found = (
        _structure(a, b, pairing, lexicon, learned)
        or _against_query(a, b, pairing, stored, lexicon)
        or _operators(pairing, learned)
    )
    if found or (learned.keeps(pairing.before) and (all(pairing.before) or not any(pairing.left))):
        return found
    kept = learned.keeps(pairing.before)
    return None if kept else next(_wording(a, b, pairing, stored, lexicon), None)


def _structure(a: View, b: View, pairing: Pairing, lexicon: Lexicon, learned: Learned) -> Verdict | None:
    """The same words that belong together otherwise, and opposites."""
    if value := contradiction(a, b, lexicon):
        return reject(Reason.BINDING, f"{value} plays another part")
    if words := rebound(a.keys, b.keys):
        return reject(Reason.BINDING, words)
    now = [pairing.mapped.get(key, key) for key in a.keys]
    if values := regrouped(now, b.keys, lexicon) or compared_otherwise(now, b.keys):
        return reject(Reason.BINDING, f"{values}: where the other stands")
    if value := exchanged(b, now, learned, lexicon) or ranged(now, b.keys, lexicon):
        return reject(Reason.BINDING, f"{value}: where the other stands")
    if number := numbered(now, b.keys, lexicon):
        return reject(Reason.NUMBER, f"{number}: which one / how many")
    if pairing.left in FROM_TO:
        return reject(Reason.BINDING, "from / to")
    asked, wanted = projection(a), projection(b)
    if not any(pairing.before) and asked != wanted and not _are_one(asked, wanted, a, b):
        return reject(Reason.PROJECTION, f"{asked[2:]} / {wanted[2:]} is asked for")
    if again := nested(a.keys, b.keys, pairing.left):
        return reject(Reason.STRANGER, f"{again}: once more")
    if pair := opposites(pairing.apart, lexicon):
        return reject(Reason.OPPOSITE, pair)
    return None


def _against_query(a: View, b: View, pairing: Pairing, stored: Features, lexicon: Lexicon) -> Verdict | None:
    """What the stored query itself speaks against, whatever stored pairs have shown of these words.

    It selects the place that only its own question asks for; it has the column whose extreme is asked for,
    and takes that of another one.
    """
    asked, wanted = projection(a), projection(b)
    if _asks_for_measure(asked, wanted, a, b, pairing, stored):
        return reject(Reason.PROJECTION, f"{asked[2:]} / {wanted[2:]} is asked for")
    if WHERE in pairing.left[1] and stored.sense.places:
        return reject(Reason.INTERROGATIVE, "where: in one question only")
    for at, key in enumerate(a.keys):
        row = [*takewhile(_is_word, a.keys[at + 1 : at + 3])] if key in stored.sense.superlatives else []
        if not row or not stored.sense.measured.isdisjoint(row) or (key, row[0]) in pairwise(b.keys):
            continue
        for word in (word[2:] for word in row):
            if word in lexicon.quantities and lexicon.stem(word) in stored.names:
                return reject(
                    Reason.OPERATOR, f"{word}: the stored query takes the extreme of something else"
                )
    return None


def _are_one(x: str, y: str, a: View, b: View) -> bool:
    """Whether two words stand side by side, in one order, in both questions: `blood type`."""
    return any(pair in pairwise(a.keys) and pair in pairwise(b.keys) for pair in ((x, y), (y, x)))


def _asks_for_measure(asked: str, wanted: str, a: View, b: View, pairing: Pairing, stored: Features) -> bool:
    """Whether, of two things that both questions name, each asks for its own, one of which the query takes
    the extreme of: `which house has the highest price`, `the highest house price`.
    """
    meant = pairing.mapped.get(asked, asked)
    if meant == wanted or WHEN in pairing.mapped or stored.sense.measured.isdisjoint((meant, wanted)):
        return False
    return meant in b.keys and wanted in (pairing.mapped.get(key, key) for key in a.keys)


def _is_word(key: str) -> bool:
    return key[0] == "w"


def _operators(pairing: Pairing, learned: Learned) -> Verdict | None:
    """Operators in one question only, which a single query that shrugged at them does not excuse."""
    found = [key for side in pairing.left for key in side if key[0] == "o"]
    if not found:
        return None
    _, changed, shapes = learned.counts(pairing.before)
    if not changed and shapes >= SUPPORT and GRAVE.isdisjoint(found):
        return None
    return reject(Reason.OPERATOR, f"{', '.join(key[2:] for key in found)}: in one question only")


def _wording(a: View, b: View, pairing: Pairing, stored: Features, lexicon: Lexicon) -> Iterator[Verdict]:
    """Words that are in one question only, the gravest first."""
    left, right = pairing.left
    both = (*left, *right)
    words = [key[2:] for key in both if key[0] == "w"]
    if dates := [word for word in words if word in lexicon.calendar]:
        yield reject(Reason.DATE, f"{', '.join(dates)}: in one question only")
    if pair := _counted_otherwise(a.keys, b.keys, pairing, lexicon):
        yield reject(Reason.NUMBER, f"{pair}: counted or measured in")
    if ("p:by" in left) != ("p:by" in right) and not active_passive(a, b):
        yield reject(Reason.BINDING, "by: in one question only")
    if deed := _done_by(a, pairing.apart[0], pairing) or _done_by(b, pairing.apart[1], pairing):
        yield reject(Reason.BINDING, f"{deed} by: in one question only")
    if telling := [key[2:] for key in both if key in lexicon.telling]:
        yield reject(Reason.BINDING, f"{', '.join(telling)}: in one question only")
    if asks := [key[2:] for key in both if key[0] == "a"]:
        yield reject(Reason.INTERROGATIVE, f"{', '.join(asks)}: in one question only")
    of_the_data = [key[2:] for key in (both if stored.unnamed else left) if key[0] == "w"]
    foreign = [word for word in words if not lexicon.knows(word)]
    if names := foreign or [word for word in of_the_data if lexicon.is_name(word)]:
        yield reject(Reason.STRANGER, f"{', '.join(names)}: a name, or no word of the language")


def _done_by(view: View, apart: Sequence[str], pairing: Pairing) -> str:
    """A word right before `by` that only this question says, of whatever weight (`owned by`), or ""."""
    deeds = (key for key, by in pairwise(view.keys) if by == "p:by" and key[0] == "w")
    return next((key[2:] for key in deeds if key in apart and key not in pairing.idle), "")


def _counted_otherwise(a: Sequence[str], b: Sequence[str], pairing: Pairing, lexicon: Lexicon) -> str:
    """Two units, or two words behind the same number, that are not the same: `10 euro / 10 dollar`."""
    left, right = (
        [key[2:] for key in side if key[0] == "w" and key[2:] in lexicon.units] for side in pairing.left
    )
    if left and right:
        return f"{left[0]} / {right[0]}"
    behind = {key: word for key, word in pairwise(b) if is_number(key) and word in pairing.left[1]}
    for key, word in pairwise(a):
        if key in behind and word in pairing.left[0] and word[0] == behind[key][0] == "w":
            return f"{word[2:]} / {behind[key][2:]}"
    return ""
