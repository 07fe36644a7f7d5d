"""What a search saw on its way: the steps, their times, the candidates, the verdicts."""

from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, ClassVar, Self

from medha_core.interfaces.storage import Candidate

__all__ = ["Explanation", "SeenCandidate", "Step"]


@dataclass(slots=True)
class SeenCandidate:
    """One stored question a tier considered, and what became of it."""

    entry_id: str
    question: str
    score: float
    verdict: str
    evidence: str = ""


@dataclass(slots=True)
class Step:
    """One step of the way; `outcome` is "hit", "miss" or "error: ...". A context that times itself."""

    wanted: ClassVar[bool] = True
    """Whether somebody wants to know what a step saw."""
    name: str
    outcome: str = "miss"
    microseconds: float = 0.0
    candidates: list[SeenCandidate] = field(default_factory=list)
    _started: float = 0.0

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self.microseconds += (perf_counter() - self._started) * 1e6
        if error is not None:
            self.outcome = f"error: {error}"

    def saw(self, candidate: Candidate, score: float, verdict: str, evidence: str = "") -> None:
        self.candidates.append(SeenCandidate(candidate.id, candidate.question, score, verdict, evidence))


@dataclass(slots=True)
class Explanation:
    """The steps of one search in the order they ran."""

    question: str
    steps: list[Step] = field(default_factory=list)

    def step(self, name: str) -> Step:
        """A step to enter; it stands in the record even when it raises."""
        self.steps.append(Step(name))
        return self.steps[-1]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {"question": self.question, "steps": [_plain(step) for step in self.steps]}

    def __str__(self) -> str:
        lines = [f"question: {self.question}"]
        for step in self.steps:
            lines.append(f"{step.name:<10} {step.outcome:<6} {step.microseconds:10.1f} us")
            lines += [_line(seen) for seen in step.candidates]
        return "\n".join(lines)


def _plain(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "outcome": step.outcome,
        "microseconds": round(step.microseconds, 1),
        "candidates": [asdict(seen) for seen in step.candidates],
    }


def _line(seen: SeenCandidate) -> str:
    evidence = f"  ({seen.evidence})" if seen.evidence else ""
    return f"    {seen.score:.4f}  {seen.verdict:<18} {seen.question}{evidence}"


class NoTrace:
    """Stands in for `Explanation` and `Step` when nobody asked for one."""

    wanted = False
    outcome = ""
    microseconds = 0.0

    def step(self, _name: str) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def saw(self, *_: object) -> None:
        return None
