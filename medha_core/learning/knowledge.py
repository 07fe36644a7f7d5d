"""What the stored entries have taught: read questions, known values, harmless differences of wording.

Evidence is kept apart by scope (collection and metadata), so that no tenant's
entries speak for another's.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from time import time
from typing import Any

from medha_core.concurrency import forking
from medha_core.deciding.decision import Decision, decide
from medha_core.guard import Reason, make_guard
from medha_core.guard.verdict import reject
from medha_core.interfaces.storage import Candidate
from medha_core.metadata import dumps_metadata

_READ_ENTRIES = 65_536
_READ_QUESTIONS = 1_024
"""Asked ones: each is read once for all that one search wants of it."""
_TAUGHT = 1_000_000
"""Entries of all scopes together that evidence is kept of; those after them teach nothing."""
_SCOPES = 100_000
"""Scopes that evidence is kept of; the one that was met first goes first."""
_BACKSLASH_ESCAPES = {"cypher": True, "graphql": True}


async def _nothing() -> None:
    """What there is to learn where nobody teaches."""


class Knowledge:
    """The guard together with what it has learnt. Safe from several threads.

    Args:
        level: "strict", "balanced" or "off".
        substitution: "seen", "any" or "off".
        language: the query language, for the escapes of its literals.
        limit: entries of one scope that evidence is kept of; those after them teach nothing.
    """

    def __init__(
        self, level: str, substitution: str = "seen", language: str = "generic", *, limit: int = 20_000
    ):
        self.guard = make_guard(level)
        self.substitution = substitution
        self.before_deciding: Callable[[], Awaitable[None]] = _nothing
        """To be awaited before `alike` and `decide`: learns what was stored and waits to be learnt."""
        self._limit = limit
        self._backslash = _BACKSLASH_ESCAPES.get(language)
        self._scopes: dict[tuple[str, str], Any] = {}
        self._taught: dict[tuple[str, str], Candidate] = {}
        """By collection and id, the entries that evidence is kept of: an id is enough to take it back."""
        self._ends: dict[tuple[str, str], float] = {}
        self._ending: list[tuple[float, str, str]] = []
        """When taught entries expire, by entry and as a heap: from then on they teach nothing."""
        self._learning: set[str] = set()
        """Collections whose stored entries are being read: until they are, only the same words answer."""
        self._lock = forking.rlock()
        """Held while evidence is read or changed: both take microseconds to milliseconds."""
        self._asked = lru_cache(maxsize=_READ_QUESTIONS)(self.guard.features)
        self._stored = lru_cache(maxsize=_READ_ENTRIES)(self.guard.features)

    @property
    def is_off(self) -> bool:
        return self.guard.level == "off"

    def begin(self, collection: str) -> None:
        """The entries a collection holds are about to be learnt."""
        self._learning.add(collection)

    def end(self, collection: str) -> None:
        """They have been."""
        self._learning.discard(collection)

    def learn(
        self,
        collection: str,
        entry: Candidate,
        neighbours: Iterable[Candidate] = (),
        ends: float | None = None,
    ) -> None:
        """Count an entry just stored; `neighbours` are the entries a search finds next to it.

        `ends` is when it expires, in seconds since the epoch.
        """
        if self.is_off:
            return
        with self._lock:
            self._take_back(collection, entry.id)
            learned = self._learned(collection, entry)
            if len(learned) < self._limit and len(self._taught) < _TAUGHT:
                self._taught[collection, entry.id] = entry
                if ends is not None:
                    self._ends[collection, entry.id] = ends
                    heappush(self._ending, (ends, collection, entry.id))
                learned.observe(entry.id, self._features(entry), [self._features(n) for n in neighbours])

    def forget(self, collection: str, ids: Iterable[str]) -> None:
        """Take back entries that are no longer stored."""
        if self.is_off:
            return
        with self._lock:
            for entry_id in ids:
                self._take_back(collection, entry_id)

    def taught(self) -> dict[str, dict[str, str]]:
        """By collection and id, the queries of the entries that evidence is kept of."""
        found: dict[str, dict[str, str]] = {}
        with self._lock:
            for (collection, entry_id), entry in self._taught.items():
                found.setdefault(collection, {})[entry_id] = entry.query
        return found

    def _take_back(self, collection: str, entry_id: str) -> None:
        self._ends.pop((collection, entry_id), None)
        entry = self._taught.pop((collection, entry_id), None)
        if entry is not None:
            self._learned(collection, entry).forget(entry.id, self._features(entry))

    def _take_back_expired(self) -> None:
        while self._ending and self._ending[0][0] <= time():
            end, collection, entry_id = heappop(self._ending)
            if self._ends.get((collection, entry_id)) == end:  # else it was stored anew since
                self._take_back(collection, entry_id)

    def clear(self, collection: str) -> None:
        """Forget everything a collection taught."""
        with self._lock:
            for scope in [scope for scope in self._scopes if scope[0] == collection]:
                del self._scopes[scope]
            for taught in [taught for taught in self._taught if taught[0] == collection]:
                del self._taught[taught]

    def alike(self, collection: str, metadata: str, question: str) -> list[str]:
        """Ids of entries that say the question's words with other values, whatever their vectors."""
        with self._lock:
            self._take_back_expired()
            learned = self._scopes.get((collection, metadata))
            return [] if learned is None else list(self.guard.alike(self._asked(question), learned))  # type: ignore[arg-type]

    def decide(self, collection: str, question: str, candidates: Sequence[Candidate]) -> Decision:
        """Which candidate answers, as it is or with its values exchanged, and a verdict on each.

        While the stored entries are being read, evidence against a candidate may be missing. What needs
        none is answered: the same words, whose verdict no evidence changes.
        """
        read = self._stored
        stored = [read(one.question, one.query) for one in candidates]
        with self._lock:
            self._take_back_expired()
            learned = self._learned(collection, candidates[0]) if candidates else self.guard.evidence()
            learning = collection in self._learning
            decided = decide(
                self.guard,
                learned,
                self._asked(question),
                stored,
                candidates,
                substitution="off" if learning else self.substitution,
                backslash_escapes=self._backslash,
            )
            return _same_words_only(decided) if learning else decided

    def agrees(self, question: str, text: str, query: str) -> bool:
        """Whether a question asks for what another text does; for a text that is no stored question.

        There is no cosine to weigh: the texts already share most of their words.
        """
        verdict = self.guard.judge(self._asked(question), self.guard.features(text, query), 1.0)
        return verdict.accepted

    def _features(self, entry: Candidate) -> Any:
        return self._stored(entry.question, entry.query)

    def _learned(self, collection: str, entry: Candidate) -> Any:
        scope = collection, dumps_metadata(entry.metadata)
        learned = self._scopes.get(scope)
        if learned is None:
            if len(self._scopes) >= _SCOPES:
                del self._scopes[next(iter(self._scopes))]
            learned = self._scopes[scope] = self.guard.evidence()
        return learned


def _same_words_only(decided: Decision) -> Decision:
    """A decision that stands whatever else the entries teach."""
    unsure = {
        place: reject(Reason.UNSURE, "the stored entries are still being read")
        for place, verdict in enumerate(decided.verdicts)
        if verdict.accepted and verdict.reason is not Reason.SAME
    }
    return decided.changed(None if decided.winner in unsure else decided.winner, unsure)
