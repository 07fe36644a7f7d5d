"""What holds a directory open must not be used in a child made by `fork`.

Such a child has the parent's file descriptors, but neither its locks nor its threads; SQLite forbids
using a connection there, even closing it.
"""

import ctypes
import os
import weakref
from typing import Protocol


class Holder(Protocol):
    """Something that learns in a forked child that it belongs to the parent."""

    def abandon(self) -> None:
        """Refuse all use from now on, and release nothing that the parent still uses."""


_holders: "weakref.WeakSet[Holder]" = weakref.WeakSet()


def watch(holder: Holder) -> None:
    """Call `holder.abandon()` in every child that this process forks while `holder` lives."""
    _holders.add(holder)


def unwatch(holder: Holder) -> None:
    """Take back `watch`; harmless when it was not called."""
    _holders.discard(holder)


def leave_open(connection: object) -> None:
    """In a forked child: never let `connection` be closed, not even when nothing refers to it any more."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _in_child() -> None:
    holders = list(_holders)
    _holders.clear()
    for holder in holders:
        holder.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
