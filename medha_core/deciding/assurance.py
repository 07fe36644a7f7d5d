"""The last word on a decision: is it certain enough, for this entry, for the error rate that was promised?

The guard says how likely an answer is right. Here that is held against what feedback has shown of
the entry, against what a user or the judge has said of this very question, and, where a judge was
given, doubtful cases are put to it.
"""

from collections.abc import Callable, Sequence

from medha_core.deciding import calibration
from medha_core.deciding.calibration import Calibration
from medha_core.deciding.decision import Decision
from medha_core.deciding.judge import Judge
from medha_core.deciding.rulings import Rulings
from medha_core.errors import ConfigurationError
from medha_core.files import checked_path
from medha_core.guard import Reason, Verdict
from medha_core.interfaces import Candidate
from medha_core.settings import Settings

__all__ = ["Assurance"]

PRIOR = 10
"""Judgements that an entry's record must outweigh: so many are taken to be as the calibration says."""


class Assurance:
    """Settles decisions. Holds what was ruled; everything else comes from settings and calibration.

    Args:
        floor: confidence from which the guard accepts, None where it is off.

    Raises `ConfigurationError` for a promise that nothing could keep because the guard is off.
    """

    def __init__(self, settings: Settings, floor: float | None, judge: Judge | None = None):
        if floor is None and (judge is not None or settings.max_error_rate is not None):
            argument = "judge" if settings.max_error_rate is None else "max_error_rate"
            raise ConfigurationError(f"{argument}: needs the guard's confidence, and guard is 'off'")
        self._settings = settings
        self._floor = 0.0 if floor is None else floor
        self._judge = judge
        path = settings.calibration_file
        self._measured = None if path is None else calibration.load(checked_path(path, settings))
        self.rulings = Rulings()
        if settings.max_error_rate is None:
            self._required = self._floor
        else:
            self._required = max(self._floor, self._calibration.confidence_for(settings.max_error_rate))

    @property
    def _calibration(self) -> Calibration:
        return self._measured or calibration.shipped()

    @property
    def has_judge(self) -> bool:
        """Whether settling may wait for somebody's answer."""
        return self._judge is not None

    def required(self, correct: int = 0, incorrect: int = 0) -> float:
        """The confidence asked of an entry with this much feedback; infinity: the same words only.

        Its error rate is estimated from feedback and calibration together. Where that is twice the
        promised one, the entry must answer from where calibration shows half of the promised one.
        """
        if not (correct or incorrect):
            return self._required
        promised = self._settings.max_error_rate
        if promised is None:
            promised = self._calibration.error_from(self._floor)
        estimated = (incorrect + PRIOR * promised) / (correct + incorrect + PRIOR)
        allowed = promised * promised / estimated if estimated else promised
        if self._settings.max_error_rate is None and allowed >= promised:
            return self._floor
        return max(self._floor, self._calibration.confidence_for(allowed))

    def ruling(self, question: str, candidate: Candidate) -> bool | None:
        """What a user or the judge has said of a question and an entry."""
        return self.rulings.of(question, candidate.question, candidate.query)

    async def settle(
        self,
        question: str,
        found: Sequence[Candidate],
        decided: Decision,
        *,
        record: tuple[int, int],
        reaches: Callable[[Candidate], bool],
    ) -> Decision:
        """The decision that stands.

        `record` is the correct and incorrect feedback of the winner; what does not reach a tier by
        its score is not put to the judge.

        Cases: the same words; a ruling; doubt, with a judge; doubt without one; certainty.
        """
        if decided.winner is None:
            return await self._reconsider(question, found, decided, reaches)
        candidate, verdict = found[decided.winner], decided.verdict(decided.winner)
        if verdict.reason is Reason.SAME and decided.substituted is None:
            return decided
        ruled = self.ruling(question, candidate)
        if ruled is not None:
            return (
                decided if ruled else _refused(decided, Reason.FEEDBACK, "was said to be wrong here before")
            )
        if self._is_doubtful(verdict) and decided.substituted is None and reaches(candidate):
            right = await self._asked(question, candidate)
            return decided if right else _refused(decided, Reason.JUDGE, "the judge did not agree")
        required = self.required(*record)
        if verdict.confidence < required:
            return _refused(
                decided, Reason.ERROR_RATE, f"confidence {verdict.confidence:.3f}, required {required:.3f}"
            )
        return decided

    async def _reconsider(
        self,
        question: str,
        found: Sequence[Candidate],
        decided: Decision,
        reaches: Callable[[Candidate], bool],
    ) -> Decision:
        """Put the likeliest candidate that only the verifier refused to the judge."""
        if self._judge is None:
            return decided
        verdicts = decided.verdicts
        open_ = [
            place
            for place, verdict in enumerate(verdicts)
            if self._is_doubtful(verdict)
            and reaches(found[place])
            and verdict.reason is not Reason.AMBIGUOUS
            and self.ruling(question, found[place]) is not False
        ]
        if not open_:
            return decided
        place = max(open_, key=lambda i: verdicts[i].confidence)
        if await self._asked(question, found[place]):
            return decided.changed(
                place, {place: verdicts[place]._replace(accepted=True, reason=Reason.JUDGE)}
            )
        refused = verdicts[place]._replace(reason=Reason.JUDGE, evidence="the judge did not agree")
        return decided.changed(None, {place: refused})

    def _is_doubtful(self, verdict: Verdict) -> bool:
        """Whether the judge is to be asked. Vetoes have no confidence, so they are never doubtful."""
        settings = self._settings
        return self._judge is not None and settings.judge_from <= verdict.confidence < settings.judge_to

    async def _asked(self, question: str, candidate: Candidate) -> bool:
        known = self.ruling(question, candidate)
        if known is not None or self._judge is None:
            return bool(known)
        answer = await self._judge.ask(question, candidate.question, candidate.query)
        if answer is not None:
            self.rulings.remember(question, candidate.question, candidate.query, answer)
        return bool(answer)


def _refused(decided: Decision, reason: Reason, evidence: str) -> Decision:
    """The decision without its winner."""
    place = decided.winner or 0
    verdict = decided.verdict(place)._replace(accepted=False, reason=reason, evidence=evidence)
    return decided.changed(None, {place: verdict})
