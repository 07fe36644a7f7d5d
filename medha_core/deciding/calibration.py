"""How often the guard's answers were wrong, by the confidence they were given with."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from medha_core.errors import ConfigurationError

__all__ = ["Calibration", "Measured", "Outcome", "load", "shipped"]

CONFIDENCES = (*(percent / 100 for percent in range(50, 100)), 0.995, 0.999)
"""What a table says the errors of."""
FORMAT = "medha-calibration-1"


class Outcome(NamedTuple):
    """One look-up that was answered."""

    confidence: float
    right: bool
    same_words: bool = False
    """Answered because the words were the same; no confidence decides about these."""


class Measured(NamedTuple):
    """What happens when answers are given from one confidence upwards."""

    confidence: float
    hits: int
    """Look-ups answered, those with the same words included."""
    right: int
    weighed: int
    """Of the hits: those that the verifier's confidence decided."""
    wrong: int
    """Of these: the wrong ones."""

    @property
    def error(self) -> float:
        """Expected error of a weighed answer (Laplace's rule of succession: few answers promise little)."""
        return (self.wrong + 1) / (self.weighed + 2)

    @property
    def precision(self) -> float:
        """Share of the hits that were right; 1 for no hit."""
        return self.right / self.hits if self.hits else 1.0


class Calibration:
    """The table of one measurement: look-ups made, and what each confidence would have answered."""

    def __init__(self, lookups: int, table: Sequence[Measured], source: str = ""):
        self.lookups, self.table, self.source = lookups, tuple(table), source

    def __repr__(self) -> str:
        return f"<Calibration of {self.lookups} look-ups: {self.source}>"

    @classmethod
    def of(cls, lookups: int, outcomes: Iterable[Outcome], source: str = "") -> "Calibration":
        """The table for look-ups of which `outcomes` were answered."""
        found = list(outcomes)
        return cls(lookups, [_measured(confidence, found) for confidence in CONFIDENCES], source)

    def confidence_for(self, error_rate: float) -> float:
        """The lowest confidence from which on answers stay below an error rate; infinity if none does."""
        return next((row.confidence for row in self.table if row.error < error_rate), inf)

    def error_from(self, confidence: float) -> float:
        """The error of weighed answers from a confidence upwards, 0..1."""
        place = bisect_left([row.confidence for row in self.table], confidence)
        return self.table[min(place, len(self.table) - 1)].error

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": FORMAT,
            "source": self.source,
            "lookups": self.lookups,
            "columns": list(Measured._fields),
            "table": [list(row) for row in self.table],
        }

    @classmethod
    def from_dict(cls, data: object, where: str) -> "Calibration":
        """What `as_dict` gave. Raises `ConfigurationError` naming `where` for anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ConfigurationError(f"{where}: not a calibration that `medha tune --out` wrote")
        table, lookups = data.get("table"), data.get("lookups")
        if not isinstance(lookups, int) or not isinstance(table, list) or not all(map(_is_row, table)):
            raise ConfigurationError(f"{where}: a damaged calibration")
        rows = [Measured(*row) for row in table]
        if not rows or rows != sorted(rows, key=lambda row: row.confidence):
            raise ConfigurationError(f"{where}: a damaged calibration")
        return cls(lookups, rows, str(data.get("source", "")))


def _measured(confidence: float, outcomes: Sequence[Outcome]) -> Measured:
    given = [o for o in outcomes if o.same_words or o.confidence >= confidence]
    weighed = [o for o in given if not o.same_words]
    return Measured(
        confidence,
        len(given),
        sum(o.right for o in given),
        len(weighed),
        sum(not o.right for o in weighed),
    )


def _is_row(row: object) -> bool:
    if not isinstance(row, list) or len(row) != len(Measured._fields):
        return False
    if not isinstance(row[0], (int, float)) or not all(type(count) is int for count in row[1:]):
        return False
    _, hits, right, weighed, wrong = row
    return 0 <= row[0] <= 1 and 0 <= wrong <= weighed <= hits and 0 <= right <= hits


def load(path: str | Path) -> Calibration:
    """The calibration in a file. Raises `ConfigurationError`."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"calibration_file: cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"calibration_file: {path}: not usable JSON: {error}") from error
    return Calibration.from_dict(data, f"calibration_file: {path}")


@cache
def shipped() -> Calibration:
    """The package's own, measured on question sets that the measured verifier was not trained on."""
    data = (files("medha_core.guard") / "calibration.json").read_text(encoding="utf-8")
    return Calibration.from_dict(json.loads(data), "calibration.json")
