"""What an engine must be able to do; all else is done once, in `foreign`.

A driver is plain functions, synchronous (then run in a thread) or coroutines (then
run on the library's own loop), so that callers may come from any thread and loop.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from medha_core.backends.naming import space_name
from medha_core.backends.record import Record
from medha_core.errors import ArgumentValueError

__all__ = ["Driver", "MaybeAwaitable", "Nearest", "Where"]

T = TypeVar("T")
Nearest = list[tuple[Record, float]]
"""Records with their cosines, best first."""
MaybeAwaitable = T | Awaitable[T]


class Where(NamedTuple):
    """A condition on records: every part that is set must hold."""

    all_of: tuple[str, ...] = ()
    """Tags."""
    any_of: tuple[str, ...] = ()
    """Tags of which one is enough."""
    keys: tuple[str, ...] = ()
    """The record's key is one of these."""
    after: str = ""
    """The record's key is greater."""
    alive_at: float | None = None
    """`expires` is greater."""
    expired_at: float | None = None
    """`expires` is at most this."""

    def holds(self, record: Record) -> bool:
        """Whether a record satisfies it; the meaning that an engine's own filter must have."""
        tags = set(record.tags)
        return (
            tags.issuperset(self.all_of)
            and (not self.any_of or not tags.isdisjoint(self.any_of))
            and (not self.keys or record.key in self.keys)
            and record.key > self.after
            and (self.alive_at is None or record.expires > self.alive_at)
            and (self.expired_at is None or record.expires <= self.expired_at)
        )


class Driver(ABC):
    """One engine. A space is where it keeps one collection; notes are small texts about spaces."""

    engine: ClassVar[str]
    """Its name, for messages."""
    lost: tuple[type[BaseException], ...] = (ConnectionError,)
    """What says that a connection broke: the call is made once more, on a new one."""
    serial: bool = False
    """Whether calls must not overlap."""
    batch: int = 500
    """Records written in one call."""
    together: int = 1
    """Searches with the same condition taken in one call, which is one round trip."""
    prefix: str = "medha"
    separator: ClassVar[str] = "_"
    name_limit: ClassVar[int] = 63

    def space(self, collection: str) -> str:
        """The name of a collection's space. Names with NUL are those of what the driver keeps for itself."""
        if isinstance(collection, str) and "\0" in collection:
            raise ArgumentValueError("collection_name", "text without NUL characters", collection)
        return space_name(self.prefix, collection, separator=self.separator, limit=self.name_limit)

    @abstractmethod
    def open(self) -> MaybeAwaitable[None]:
        """Connect, and make room for notes."""

    @abstractmethod
    def close(self) -> MaybeAwaitable[None]:
        """Disconnect."""

    def reconnect(self) -> MaybeAwaitable[None]:
        """After a lost connection: let go of the others, which are probably lost too."""

    @abstractmethod
    def read_note(self, space: str, kind: str) -> MaybeAwaitable[str | None]:
        """A note, or None."""

    @abstractmethod
    def write_note(self, space: str, kind: str, text: str) -> MaybeAwaitable[None]:
        """Put a note in the place of an older one."""

    @abstractmethod
    def notes(self, kind: str) -> MaybeAwaitable[list[str]]:
        """All notes of a kind."""

    @abstractmethod
    def create(self, space: str, dimension: int) -> MaybeAwaitable[None]:
        """Make a space, unless it is there."""

    @abstractmethod
    def drop(self, space: str) -> MaybeAwaitable[None]:
        """Delete a space, with its notes, if it is there."""

    @abstractmethod
    def write(self, space: str, records: Sequence[Record]) -> MaybeAwaitable[None]:
        """Insert or replace by key; visible to the next search."""

    @abstractmethod
    def nearest(
        self, space: str, vectors: np.ndarray, limit: int, where: Where
    ) -> MaybeAwaitable[list[Nearest]]:
        """For each of n unit vectors, shape (n, dimension), the nearest records that satisfy `where`.

        n is `together` at most.
        """

    @abstractmethod
    def select(
        self, space: str, where: Where, limit: int, with_vectors: bool = False
    ) -> MaybeAwaitable[list[Record]]:
        """The first `limit` records, by key, that satisfy `where`."""

    @abstractmethod
    def count(self, space: str) -> MaybeAwaitable[int]:
        """Number of records."""

    @abstractmethod
    def delete(self, space: str, keys: Sequence[str]) -> MaybeAwaitable[None]:
        """Delete by key; unknown keys are ignored."""

    @abstractmethod
    def add_feedback(self, space: str, key: str, correct: bool) -> MaybeAwaitable[int]:
        """Add one to a counter; its value, 0 when there is no such record."""

    def describe(self) -> Any:
        """Where the engine is, for `repr`."""
        return ""
