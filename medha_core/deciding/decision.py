"""From the candidates of one search to one answer: as it is stored, or with its values exchanged."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from medha_core.deciding.substitution import Proposal, Substituted, Written, completed, proposals, write
from medha_core.guard import FAR, Guard, Learned, Reading, Reason, Verdict, Weighed
from medha_core.reading.features import Features

if TYPE_CHECKING:
    from medha_core.guard.compiled import CompiledGuard

__all__ = ["Candidate", "Decision", "decide"]


EXCHANGEABLE = frozenset(
    [Reason.VALUE, Reason.NUMBER, Reason.DATE, Reason.QUOTED, Reason.IDENTIFIER, Reason.BINDING]
)
"""Objections that other values in the query may answer."""


class Candidate(NamedTuple):
    """A stored entry that a search proposes."""

    features: Any
    """What the guard's `features` gave for its question and query."""
    query: str
    score: float
    """Cosine similarity of the two questions."""


class Decision(NamedTuple):
    """What was decided about the candidates of one search."""

    winner: int | None
    """Place of the candidate that answers, or None."""
    substituted: Substituted | None
    """Its query with the asked values, where they differ from the stored ones."""
    verdicts: tuple[Verdict, ...]
    """One for each candidate."""

    @property
    def confidence(self) -> float:
        return self.verdicts[self.winner].confidence if self.winner is not None else 0.0


class _Answer(NamedTuple):
    place: int
    query: str
    verdict: Verdict
    written: Written | None
    """Its query, where values were exchanged."""


def decide(
    guard: "Guard | CompiledGuard",
    learned: Any,
    asked: Any,
    candidates: Sequence[Candidate],
    *,
    substitution: str = "seen",
    backslash_escapes: bool | None = None,
) -> Decision:
    """Judge every candidate; the best accepted one answers, unless accepted ones disagree.

    `learned` and all features are the guard's own: its `evidence()`, what its `features` gave.
    """
    verdicts: list[Verdict] = []
    answers: list[_Answer] = []
    weigh = _weighed if isinstance(guard, Guard) else _weighed_at_once
    found = list(weigh(guard, learned, asked, candidates, substitution))
    is_same = any(one.verdict.accepted and one.verdict.reason is Reason.SAME for one in found)
    for place, weighed in enumerate(found):
        candidate, verdict, made = candidates[place], weighed.verdict, None
        if weighed.exchanged is not None and is_same:
            verdicts.append(weighed.exchanged)  # the same words answer: no query need be written
            continue
        if weighed.exchanged is not None and weighed.fitted is not None:
            made = write(
                candidate.query, candidate.features, weighed.fitted, backslash_escapes=backslash_escapes
            )
            verdict = weighed.exchanged if made else verdict
        verdicts.append(verdict)
        if verdict.accepted:
            answers.append(_Answer(place, made.query if made else candidate.query, verdict, made))
    winner = _winner(guard, answers, candidates, verdicts)
    if winner is None:
        return Decision(None, None, tuple(_ambiguous(verdict) for verdict in verdicts))
    if winner.written is None:
        return Decision(winner.place, None, tuple(verdicts))
    candidate, fitted = candidates[winner.place], found[winner.place].fitted
    made = completed(candidate.query, candidate.features, fitted, winner.written)
    return Decision(winner.place, made, tuple(verdicts))


def _weighed_at_once(
    guard: "CompiledGuard",
    learned: Any,
    asked: Any,
    candidates: Sequence[Candidate],
    substitution: str,
) -> list[Weighed]:
    return guard.judge_all(
        asked, [c.features for c in candidates], [c.score for c in candidates], learned, substitution
    )


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
    return verdict._replace(accepted=False, reason=Reason.AMBIGUOUS) if verdict.accepted else verdict


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
    guard: "Guard | CompiledGuard",
    answers: Sequence[_Answer],
    candidates: Sequence[Candidate],
    verdicts: Sequence[Verdict],
) -> _Answer | None:
    """The answer to give. Cases: the same words; none; answers that disagree; one answer, and its support."""
    same = next((a for a in answers if a.verdict.reason is Reason.SAME and not a.written), None)
    if same or not answers or guard.limits is None:
        return same or next(iter(answers), None)
    if len({answer.query for answer in answers}) > 1:
        return None
    best = next((a for a in answers if not a.written), answers[0])
    rest = [
        verdict
        for candidate, verdict in zip(candidates, verdicts, strict=True)
        if candidate.features.shape != candidates[best.place].features.shape
    ]
    limit = guard.limits.rival
    if not best.written:
        limit = max(limit, best.verdict.confidence - guard.limits.lead)
    if max((v.confidence for v in rest), default=0.0) >= limit:
        return None
    return best if len(answers) > 1 or _stands_alone(guard, best, unrivalled=not rest) else None


def _stands_alone(guard: "Guard | CompiledGuard", answer: _Answer, *, unrivalled: bool) -> bool:
    """Whether one candidate's word is enough."""
    if answer.written:
        return answer.verdict.confidence >= guard.limits.alone_exchanged
    return unrivalled or answer.verdict.confidence >= guard.limits.alone
