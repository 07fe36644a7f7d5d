"""Pages in the order of keys, from an engine that can only select by ranges of a number."""

from collections.abc import Callable

from medha_core.backends.record import Record

__all__ = ["order_of", "page_by_ranges"]

_DIGITS = 13
_END = 16**_DIGITS
_SLACK = 1.2


def order_of(key: str) -> int:
    """A number, exact as a float64, that grows with the key: its first 52 bits."""
    return int(key[:_DIGITS], 16)


def page_by_ranges(
    between: Callable[[int, int], list[Record]], after: str, limit: int, count: int
) -> list[Record]:
    """The first `limit` records after a key.

    Keys are hashes and so spread evenly: a range as wide as `limit` of `count`
    records holds about that many. `between(low, high)` gives all records with
    low <= order < high; of them those up to `after` are left out.
    """
    page: list[Record] = []
    low = order_of(after) if after else 0
    width = max(1, int(_END * _SLACK * limit / max(count, 1)))
    while low < _END and len(page) < limit:
        found = [record for record in between(low, low + width) if record.key > after]
        page += sorted(found, key=lambda record: record.key)
        low += width
    return page[:limit]
