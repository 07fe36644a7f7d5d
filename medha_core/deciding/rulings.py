"""What users and the judge have said about a question and an entry."""

import hashlib

from cachetools import LRUCache

from medha_core.concurrency import forking

__all__ = ["Rulings"]

_KEPT = 10_000


class Rulings:
    """Remembers whether a stored query answers a question.

    Bounded, the least recently used go first; lives as long as the process. Thread-safe.
    """

    def __init__(self, limit: int = _KEPT):
        self._known: LRUCache[bytes, bool] = LRUCache(limit)
        self._lock = forking.lock()
        """Held for each look-up too: reading moves a ruling to the front."""

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Rulings {len(self)}/{self._known.maxsize:.0f}>"

    def of(self, question: str, stored_question: str, stored_query: str) -> bool | None:
        """The latest ruling, or None."""
        if not self._known:
            return None
        with self._lock:
            return self._known.get(_key(question, stored_question, stored_query))

    def remember(self, question: str, stored_question: str, stored_query: str, right: bool) -> None:
        """Keep a ruling; the latest wins."""
        with self._lock:
            self._known[_key(question, stored_question, stored_query)] = right

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._known.clear()


def _key(*texts: str) -> bytes:
    # No text holds NUL, so three texts joined by it are three texts again.
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).digest()
