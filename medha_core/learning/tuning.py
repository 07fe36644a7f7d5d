"""Measure the guard on a user's own questions: what each confidence would answer, and how rightly.

Two kinds of entries are taken. Labelled pairs (`question`, `stored_question`, `stored_query`, `correct`)
are asked against the stored questions they name. Of plain entries (`question`, `generated_query`), one
question of each query is stored and the others are asked among the nearest of those: an answer is right
when it is the asked question's own query. Every second query that only one question has is not stored,
so that there are questions no answer is right for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from medha_core.deciding.calibration import Calibration, Outcome
from medha_core.deciding.tiers import Thresholds, Tiers
from medha_core.embedding import CachedEmbedder
from medha_core.errors import ArgumentValueError, ConfigurationError, MedhaError
from medha_core.files import FileEntry
from medha_core.guard import Reason
from medha_core.interfaces import BaseEmbedder, Candidate
from medha_core.learning.knowledge import Knowledge
from medha_core.normalise import normalize_question
from medha_core.settings import Settings
from medha_core.types import SearchStrategy

__all__ = ["measure"]

_NEAREST = 8
_COLLECTION = "tuning"
_LABELLED = {"question": str, "stored_question": str, "stored_query": str, "correct": bool}
_PLAIN = {"question": str, "generated_query": str}


class Stored(NamedTuple):
    """A question that is stored, with its query."""

    question: str
    query: str


class Asked(NamedTuple):
    """A question that is asked."""

    question: str
    right: frozenset[Stored]
    """The stored questions whose query answers it; of a plain entry, none: `query` decides."""
    among: tuple[Stored, ...] = ()
    """The stored questions it is judged against; () for the nearest of all."""
    query: str | None = None
    """Its own query, where it is known."""


async def measure(
    entries: Sequence[Mapping[str, Any]], embedder: BaseEmbedder, settings: Settings, *, source: str = ""
) -> Calibration:
    """What the guard of these settings does with a file's entries.

    Raises `MedhaError` for entries that cannot be measured, `ConfigurationError` where the guard is off.
    """
    if settings.guard == "off":
        raise ConfigurationError("guard: there is nothing to measure while it is 'off'")
    stored, asked = _labelled(entries) if _is_labelled(entries) else _plain(entries)
    if not asked:
        raise MedhaError("nothing to ask: no two of the questions have the same query")
    questions = [entry.question for entry in stored] + [one.question for one in asked]
    vectors = await _vectors(embedder, settings, questions)
    trial = _Trial(settings, stored, vectors)
    outcomes = [outcome for one in asked if (outcome := trial.ask(one))]
    return Calibration.of(len(asked), outcomes, source)


class _Trial:
    """A small cache in memory with an exact scan, asked through the guard as a search asks it."""

    def __init__(self, settings: Settings, stored: Sequence[Stored], vectors: Mapping[str, np.ndarray]):
        self._thresholds = Thresholds.of(settings)
        self._stored = stored
        self._vectors = vectors
        self._matrix = np.stack([vectors[entry.question] for entry in stored])
        self._knowledge = Knowledge(settings.guard, settings.substitution, settings.query_language)
        self._as_stored = Knowledge(settings.guard, "off", settings.query_language)
        for place, entry in enumerate(stored):
            near = self._nearest(vectors[entry.question], range(place))
            for knowledge in (self._knowledge, self._as_stored):
                knowledge.learn(_COLLECTION, self._candidate(entry, 1.0), near)

    def ask(self, asked: Asked) -> Outcome | None:
        """The answer's confidence and whether it is right; None for a miss."""
        vector = self._vectors[asked.question]
        if asked.query is None:
            knowledge = self._as_stored  # whether another query would be right is not labelled
            places = [self._stored.index(entry) for entry in asked.among]
        else:
            knowledge, places = self._knowledge, range(len(self._stored))
        found = self._nearest(vector, places)
        decided = knowledge.decide(_COLLECTION, asked.question, found)
        if decided.winner is None:
            return None
        winner, verdict = found[decided.winner], decided.verdict(decided.winner)
        if decided.substituted is not None:
            return Outcome(verdict.confidence, _same_query(decided.substituted.query, asked.query))
        if Tiers(self._thresholds, asked.question).of(winner)[0] is SearchStrategy.NO_MATCH:
            return None
        right = (
            Stored(winner.question, winner.query) in asked.right
            if asked.query is None
            else _same_query(winner.query, asked.query)
        )
        return Outcome(verdict.confidence, right, verdict.reason is Reason.SAME)

    def _nearest(self, vector: np.ndarray, places: Iterable[int]) -> list[Candidate]:
        chosen = list(places)
        if not chosen:
            return []
        scores = self._matrix[chosen] @ vector
        best = np.argsort(-scores, kind="stable")[:_NEAREST]
        floor = self._thresholds.prefilter
        return [
            self._candidate(self._stored[chosen[i]], min(1.0, float(scores[i])))
            for i in best
            if scores[i] >= floor
        ]

    def _candidate(self, entry: Stored, score: float) -> Candidate:
        return Candidate(
            f"{entry.question}\0{entry.query}",
            score,
            entry.question,
            normalize_question(entry.question),
            entry.query,
            {},
        )


def _is_labelled(entries: Sequence[Mapping[str, Any]]) -> bool:
    return bool(entries) and "stored_question" in entries[0]


def _labelled(entries: Sequence[Mapping[str, Any]]) -> tuple[list[Stored], list[Asked]]:
    """Each question once, with all the stored questions it was labelled against."""
    pairs: dict[str, dict[Stored, bool]] = {}
    for entry in _checked(entries, _LABELLED):
        stored = Stored(entry["stored_question"], entry["stored_query"])
        pairs.setdefault(entry["question"], {})[stored] = entry["correct"]
    every = dict.fromkeys(stored for labels in pairs.values() for stored in labels)
    asked = [
        Asked(question, frozenset(s for s, correct in labels.items() if correct), tuple(labels))
        for question, labels in pairs.items()
    ]
    return list(every), asked


def _plain(entries: Sequence[Mapping[str, Any]]) -> tuple[list[Stored], list[Asked]]:
    """One question of each query is stored; see the module's words."""
    queries: dict[str, str] = {}
    questions: dict[str, dict[str, None]] = {}
    for entry in _checked(entries, _PLAIN):
        query = queries.setdefault(_compared(entry["generated_query"]), entry["generated_query"])
        questions.setdefault(query, {})[entry["question"]] = None
    stored: list[Stored] = []
    asked: list[Asked] = []
    alone = 0
    for query, wordings in questions.items():
        first, *others = wordings
        alone += not others
        if others or alone % 2:
            stored.append(Stored(first, query))
        else:
            others = [first]
        asked += [Asked(question, frozenset(), query=query) for question in others]
    return stored, asked if len(questions) < len(entries) else []


def _checked(entries: Iterable[Mapping[str, Any]], fields: Mapping[str, type]) -> Iterator[Mapping[str, Any]]:
    for number, entry in enumerate(entries, start=1):
        for name, kind in fields.items():
            value = entry.get(name)
            if not isinstance(value, kind) or (kind is str and not value.strip()):
                expected = "true or false" if kind is bool else "text that is not empty"
                place = entry.where if isinstance(entry, FileEntry) else f"entry {number}"
                raise ArgumentValueError(f"{place}: {name}", expected, value)
        yield entry


async def _vectors(
    embedder: BaseEmbedder, settings: Settings, questions: Iterable[str]
) -> dict[str, np.ndarray]:
    texts = list(dict.fromkeys(questions))
    step = CachedEmbedder(embedder, timeout=settings.embedding_timeout)
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(texts), settings.batch_size):
        batch = texts[start : start + settings.batch_size]
        found.update(zip(batch, await step.aembed_array(batch), strict=True))
    return found


def _same_query(query: str, other: str | None) -> bool:
    return other is not None and _compared(query) == _compared(other)


def _compared(query: str) -> str:
    """A query as it is compared: spaces and case do not count."""
    return " ".join(query.split()).lower()
