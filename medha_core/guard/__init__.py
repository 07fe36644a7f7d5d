"""The guard: the vector proposes, the guard decides."""

from medha_core.guard.choice import make_guard
from medha_core.guard.evidence import Learned
from medha_core.guard.judge import FAR, Guard, Reading
from medha_core.guard.verdict import Judged, Judgements, Reason, Verdict, Weighed

__all__ = [
    "FAR",
    "Guard",
    "Judged",
    "Judgements",
    "Learned",
    "Reading",
    "Reason",
    "Verdict",
    "Weighed",
    "make_guard",
]
