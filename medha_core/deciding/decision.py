"""From the candidates of one search to one answer: as it is stored, or with its values exchanged."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from medha_core.deciding.substitution import Proposal, Substituted, Written, completed, proposals, write
from medha_core.guard import FAR, Guard, Judged, Judgements, Learned, Reading, Reason, Verdict, Weighed
from medha_core.reading.features import Features

if TYPE_CHECKING:
    from medha_core.guard.compiled import CompiledGuard

__all__ = ["Candidate", "Decision", "decide"]


EXCHANGEABLE = frozenset(
    [Reason.VALUE, Reason.NUMBER, Reason.DATE, Reason.QUOTED, Reason.IDENTIFIER, Reason.BINDING]
)
"""Objections that other values in the query may answer."""
NOTHING_SAID: Mapping[int, Verdict] = MappingProxyType({})


class _Scored(Protocol):
    @property
    def query(self) -> str: ...

    @property
    def score(self) -> float: ...


class Candidate(NamedTuple):
    """A stored entry that a search proposes."""

    features: Any
    """What the guard's `features` gave for its question and query."""
    query: str
    score: float
    """Cosine similarity of the two questions."""


class Decision:
    """What was decided about the candidates of one search. Cannot be changed; most verdicts are never read.

    Args:
        winner: place of the candidate that answers, or None.
        substituted: its query with the asked values, where they differ from the stored ones.
        judged: what the guard said.
        taken: candidates whose verdict is that on their query with other values.
        said: by candidate, a verdict that replaces the guard's.
    """

    __slots__ = ("_judged", "_said", "_taken", "substituted", "winner")

    def __init__(
        self,
        winner: int | None,
        substituted: Substituted | None,
        judged: Judgements,
        taken: Collection[int] = (),
        said: Mapping[int, Verdict] = NOTHING_SAID,
    ):
        self.winner, self.substituted = winner, substituted
        self._judged, self._taken, self._said = judged, taken, said

    def __repr__(self) -> str:
        return f"<Decision winner={self.winner} {[verdict.reason.value for verdict in self.verdicts]}>"

    @property
    def confidence(self) -> float:
        return 0.0 if self.winner is None else self.verdict(self.winner).confidence

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each candidate."""
        return tuple(self.verdict(place) for place in range(len(self._judged)))

    def verdict(self, place: int) -> Verdict:
        """What is said of one candidate."""
        said = self._said.get(place)
        return self._judged.verdict(place, exchanged=place in self._taken) if said is None else said

    def near_misses(
        self, found: Sequence[_Scored], sure: float, reaches: Callable[[Any], bool]
    ) -> tuple[list[str], float | None]:
        """Why candidates that reach a tier may not answer, and the best score of these.

        `found` are the candidates; `reaches` tells it of one whose score is below `sure`.
        """
        judged, said = self._judged, self._said
        reasons, best, others = judged.refused(sure, {*judged.accepted, *self._taken, *said})
        for place in (*others, *said):
            verdict, candidate = self.verdict(place), found[place]
            if not verdict.accepted and reaches(candidate):
                reasons.append(verdict.reason.value)
                best = candidate.score if best is None else max(best, candidate.score)
        return reasons, best

    def changed(self, winner: int | None, said: Mapping[int, Verdict]) -> "Decision":
        """The same with another winner, whose query is as it is stored, and other verdicts on some."""
        return Decision(winner, None, self._judged, self._taken, {**self._said, **said})


class _Answer(NamedTuple):
    place: int
    query: str
    written: Written | None
    """Its query, where values were exchanged."""


def decide(
    guard: "Guard | CompiledGuard",
    learned: Any,
    asked: Any,
    read: Sequence[Any],
    candidates: Sequence[_Scored],
    *,
    substitution: str = "seen",
    backslash_escapes: bool | None = None,
) -> Decision:
    """Judge every candidate; the best accepted one answers, unless accepted ones disagree.

    `learned` is the guard's `evidence()`; `asked` and `read` are what its `features` gave for the question
    and, in their order, for the candidates.
    """
    scores = [one.score for one in candidates]
    if isinstance(guard, Guard):
        judged: Judgements = _judged(guard, learned, asked, read, candidates, substitution)
    else:
        judged = guard.judge_all(asked, read, scores, learned, substitution)
    exchanges = judged.exchanges
    if judged.same is not None:  # the same words answer: no query need be written
        return Decision(judged.same, None, judged, exchanges)
    if not judged.accepted and not exchanges:
        return Decision(None, None, judged)
    answers = {place: _Answer(place, candidates[place].query, None) for place in judged.accepted}
    taken = []
    for place, fitted in exchanges.items():
        query = candidates[place].query
        made = write(query, read[place], fitted, backslash_escapes=backslash_escapes)
        if made:
            taken.append(place)
            answers[place] = _Answer(place, made.query, made)
    winner = _winner(guard, judged, taken, [answers[place] for place in sorted(answers)])
    if winner is None:
        refused = {place: _ambiguous(judged.verdict(place, exchanged=place in taken)) for place in answers}
        return Decision(None, None, judged, taken, refused)
    if winner.written is None:
        return Decision(winner.place, None, judged, taken)
    query, fitted = candidates[winner.place].query, exchanges[winner.place]
    made = completed(query, read[winner.place], fitted, winner.written)
    return Decision(winner.place, made, judged, taken)


def _judged(
    guard: Guard,
    learned: Learned,
    asked: Features,
    read: Sequence[Features],
    candidates: Sequence[_Scored],
    substitution: str,
) -> Judged:
    whole = [Candidate(features, c.query, c.score) for features, c in zip(read, candidates, strict=True)]
    found = list(_weighed(guard, learned, asked, whole, substitution))
    return Judged(found, [one.shape for one in read], [one.score for one in candidates])


def _weighed(
    guard: Guard, learned: Learned, asked: Features, candidates: Sequence[Candidate], substitution: str
) -> Iterator[Weighed]:
    for candidate in candidates:
        margin = _margin(candidate, candidates)
        verdict = guard.judge(asked, candidate.features, candidate.score, learned=learned, margin=margin)
        found = None
        if verdict.reason in EXCHANGEABLE and substitution != "off":
            found = _exchange(guard, learned, asked, candidate, margin, substitution)
        yield Weighed(verdict, *(found or ()))


def _ambiguous(verdict: Verdict) -> Verdict:
    return verdict._replace(accepted=False, reason=Reason.AMBIGUOUS)


def _margin(candidate: Candidate, candidates: Sequence[Candidate]) -> float:
    """How far a candidate lies above the best one with another query shape."""
    others = [c.score for c in candidates if c.features.shape != candidate.features.shape]
    return candidate.score - max(others) if others else FAR


def _exchange(
    guard: Guard, learned: Learned, asked: Features, candidate: Candidate, margin: float, mode: str
) -> tuple[Verdict, Proposal] | None:
    """The one accepted way to put the asked values into the candidate's query."""
    accepted = []
    for proposal in proposals(asked, candidate.features, candidate.query, learned.values, mode):
        reading = Reading(proposal.asked, proposal.stored, proposal.exchanged)
        verdict = guard.judge(
            asked, candidate.features, candidate.score, learned=learned, margin=margin, reading=reading
        )
        if verdict.accepted:
            accepted.append((verdict, proposal))
    return accepted[0] if len(accepted) == 1 else None


def _winner(
    guard: "Guard | CompiledGuard", judged: Judgements, taken: Collection[int], answers: Sequence[_Answer]
) -> _Answer | None:
    """The answer to give where nobody says the same words. Cases: none; answers that disagree; one answer,
    and its support.
    """
    if not answers or guard.limits is None:
        return next(iter(answers), None)
    if len(answers) > 1 and len({answer.query for answer in answers}) > 1:
        return None
    best = next((a for a in answers if not a.written), answers[0])
    rival = judged.rival(best.place, taken)
    if rival is not None and rival >= _may_reach(guard, judged, best):
        return None
    if len(answers) > 1:
        return best
    # One candidate's word has to be enough.
    confidence = judged.verdict(best.place, exchanged=best.written is not None).confidence
    if best.written:
        return best if confidence >= guard.limits.alone_exchanged else None
    return best if rival is None or confidence >= guard.limits.alone else None


def _may_reach(guard: "Guard | CompiledGuard", judged: Judgements, best: _Answer) -> float:
    """The confidence from which a candidate of another kind keeps `best` from answering."""
    if best.written:
        return guard.limits.rival
    return max(guard.limits.rival, judged.verdict(best.place).confidence - guard.limits.lead)
