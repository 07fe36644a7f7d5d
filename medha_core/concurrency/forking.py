"""What becomes of caches in a child made by `fork`.

Such a child has the parent's memory and file descriptors, but only the thread that forked. A lock that
another thread held stays locked there for ever, and what that thread was changing stays half changed; SQLite
forbids using a connection there, even closing it. So

- what holds a directory open (`watch`) refuses all use in the child,
- what lives in memory goes on: a fork waits for a moment in which nobody holds a `lock` or `rlock` of ours,
  or is inside what was given to `still`, and takes all of them over the fork.
"""

import ctypes
import os
import threading
import time
import weakref
from typing import Protocol, TypeVar

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds that a fork waits at most; after them the child begins with new locks all the same."""

_TURN = 0.02
"""Seconds that a fork waits for one lock while it holds others."""


class Holder(Protocol):
    """Something that learns in a forked child that it belongs to the parent."""

    def abandon(self) -> None:
        """Refuse all use from now on, and release nothing that the parent still uses.

        Called again in the children of the child.
        """


class Still(Protocol):
    """Something that can be kept from changing for the moment of a fork."""

    def hold(self) -> None:
        """Wait until nobody is inside, and let nobody in."""

    def let_go(self, in_child: bool) -> None:
        """The end of it; in the child those who waited are gone."""


_holders: "weakref.WeakSet[Holder]" = weakref.WeakSet()
_stills: "weakref.WeakSet[Still]" = weakref.WeakSet()
_locks: "weakref.WeakSet[threading.Lock]" = weakref.WeakSet()
_held: list[threading.Lock] = []
"""Locks taken for the fork that is under way; forks come one at a time, for they hold the interpreter."""


def watch(holder: Holder) -> None:
    """Call `holder.abandon()` in every child that this process forks while `holder` lives."""
    _holders.add(holder)


def unwatch(holder: Holder) -> None:
    """Take back `watch`; harmless when it was not called."""
    _holders.discard(holder)


def leave_open(connection: object) -> None:
    """In a forked child: never let `connection` be closed, not even when nothing refers to it any more."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def still(one: Still) -> None:
    """Hold `one` over every fork of this process while it lives."""
    _stills.add(one)


def lock() -> threading.Lock:
    """A `threading.Lock` that no fork finds taken."""
    made = threading.Lock()
    _locks.add(made)
    return made


def rlock() -> threading.RLock:  # type: ignore[valid-type]
    """A `threading.RLock` that no fork finds taken."""
    made = threading.RLock()
    _locks.add(made)  # type: ignore[arg-type]
    return made


def _all(found: "weakref.WeakSet[T]") -> list[T]:
    while True:
        try:
            return list(found)
        except RuntimeError:  # another thread added one
            continue


def _before() -> None:
    _take_all(time.monotonic() + _PATIENCE)
    for one in _all(_stills):
        one.hold()


def _take_all(deadline: float) -> None:
    """Every lock, or none when the time is over.

    A thread inside one of them may be waiting for another that is held here. So nothing is waited for longer
    than a turn while others are held: then all are given back, and the one that was missing comes first.
    """
    missing = None
    while time.monotonic() < deadline:
        wanted = sorted(set(_all(_locks)) - set(_held), key=lambda one: one is not missing)
        if not wanted:
            return
        for one in wanted:
            if not one.acquire(timeout=_TURN):
                missing = one
                _give_back()
                break
            _held.append(one)
    _give_back()


def _give_back() -> None:
    while _held:
        _held.pop().release()


def _in_parent() -> None:
    for one in _all(_stills):
        one.let_go(in_child=False)
    _give_back()


def _in_child() -> None:
    for one in _all(_stills):
        one.let_go(in_child=True)
    for one in set(_all(_locks)) - set(_held):
        one._at_fork_reinit()  # type: ignore[attr-defined]
    _give_back()
    for holder in _all(_holders):
        holder.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
