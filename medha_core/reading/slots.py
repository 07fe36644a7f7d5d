"""The values of a stored question that others may take the place of."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from medha_core.reading.literal_rules import may_rewrite
from medha_core.reading.mentions import Mention
from medha_core.reading.query import read_query

__all__ = ["MAX_SLOTS", "Slot", "is_iso_date", "slots"]

MAX_SLOTS = 6
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]+)?")


class Slot(NamedTuple):
    """A value of the stored question that a like one may take the place of."""

    mention: Mention
    columns: frozenset[str]
    is_number: bool
    spelling: str


def slots(mentions: Sequence[Mention], query: str) -> tuple[Slot, ...] | None:
    """The slots of an entry with these mentions; None where a value is said twice, or means two things."""
    found = read_query(query).literals
    if not may_rewrite(query, found):
        return None
    made: list[Slot] = []
    for mention in mentions:
        values = [found[i] for i in mention.literals]
        names = {value.column.rpartition(".")[2] for value in values}
        numbers = {value.is_number for value in values}
        if len(names) > 1 or len(numbers) > 1 or any(s.mention.literals == mention.literals for s in made):
            return None
        made.append(Slot(mention, frozenset(v.column for v in values), values[0].is_number, values[0].value))
    return tuple(made) if len(made) <= MAX_SLOTS else None


def is_iso_date(text: str) -> bool:
    """Whether a text is `2023-03-05`, with a time behind a T or without."""
    return _ISO_DATE.fullmatch(text) is not None
