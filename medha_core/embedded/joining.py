"""New vectors join the graphs in the background: no store waits for it, and no search."""

from medha_core.concurrency.keeper import Keeper
from medha_core.embedded.collection import NativeCollection
from medha_core.native import VectorIndex

__all__ = ["join_later"]

_WORTH_A_THREAD = 4096
"""Vectors outside the graph: fewer are scanned in microseconds."""
_STEP = 64
"""Vectors joined per call, which takes some milliseconds: closing waits no longer than that."""
_STEPS = 64
"""Steps after which other background work has its turn."""


def join_later(collection: NativeCollection, keeper: Keeper) -> None:
    """Have vectors that wait join their graph, if there are enough. Called after each write; costs half a
    microsecond.
    """
    for kind, index in zip(("unscoped", "scoped"), collection.indexes, strict=True):
        if index.waiting() >= _WORTH_A_THREAD:
            keeper.do(("join", collection.id, kind), lambda index=index: _join(index, collection, keeper))


def _join(index: VectorIndex, collection: NativeCollection, keeper: Keeper) -> None:
    for _ in range(_STEPS):
        keeper.go_on()
        if not index.join(_STEP):
            return
        collection.grown = True
    join_later(collection, keeper)
