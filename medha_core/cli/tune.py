"""`medha tune FILE`: how right and how often the guard answers the questions of a file."""

import asyncio
import json
from math import isinf
from pathlib import Path
from typing import Any

from medha_core import ConfigurationError, Settings
from medha_core.cli.opening import open_embedder, open_settings
from medha_core.cli.output import OK, check_target, emit, emit_json, note, writing
from medha_core.deciding.calibration import Calibration, Measured
from medha_core.files import read_entries
from medha_core.learning.tuning import measure

SHOWN = (0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
DEFAULT_RATE = 0.02


def command(
    file: Path,
    model: str | None,
    *,
    max_error_rate: float | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    settings = open_settings(None)
    rate = max_error_rate or settings.max_error_rate or DEFAULT_RATE
    draw = None if plot is None else _drawing()
    for option, target in (("--out", out), ("--plot", plot)):
        if target is not None:
            check_target(option, target)
    entries = read_entries(file, settings)
    embedder = open_embedder(model, settings)
    source = f"{file.name}, {embedder.model_name}, guard {settings.guard}"
    table = asyncio.run(measure(entries, embedder, settings, source=source))
    if as_json:
        emit_json(_as_json(table, rate, out))
    else:
        for line in lines(table, rate, settings, out):
            emit(line)
    if out is not None:
        with writing("--out", out):
            out.write_text(json.dumps(table.as_dict(), indent=1) + "\n", encoding="utf-8")
        note(f"wrote {out}")
    if draw is not None and plot is not None:
        draw(table, plot)
        note(f"drew {plot}")
    return OK


def _drawing() -> Any:
    try:
        from medha_core.cli.picture import draw
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise ConfigurationError("--plot needs matplotlib: pip install 'medha-core[plot]'") from error
    return draw


def lines(table: Calibration, rate: float, settings: Settings, out: Path | None) -> list[str]:
    """The table and what to set."""
    head = f"{table.lookups} questions asked (guard: {settings.guard})"
    columns = f"{'confidence':>10} {'hit rate':>9} {'precision':>9} {'wrong':>6} {'expected error':>15}"
    rows = [_line(row, table.lookups) for row in table.table if row.confidence in SHOWN]
    return [head, "", columns, *rows, "", *advice(table, rate, out)]


def _line(row: Measured, lookups: int) -> str:
    return (
        f"{row.confidence:10.3f} {row.hits / lookups:9.1%} {row.precision:9.2%} {row.hits - row.right:6d} "
        f"{row.error:15.2%}"
    )


def advice(table: Calibration, rate: float, out: Path | None) -> list[str]:
    """Which setting keeps the error below a rate, and what it costs."""
    confidence = table.confidence_for(rate)
    if isinf(confidence):
        best = min(row.error for row in table.table)
        return [
            f"An error below {rate:.2%} cannot be promised from these questions: "
            f"with {table.table[0].weighed} weighed answers, the lowest expected error is {best:.2%}."
        ]
    row = next(row for row in table.table if row.confidence == confidence)
    file = "" if out is None else f" MEDHA_CALIBRATION_FILE={out}"
    return [
        f"For an error below {rate:.2%}: MEDHA_MAX_ERROR_RATE={rate:g}{file}",
        f"This asks for confidence {confidence:g}: {row.hits / table.lookups:.1%} answered, "
        f"{row.precision:.2%} of them right.",
    ]


def _as_json(table: Calibration, rate: float, out: Path | None) -> dict[str, Any]:
    confidence = table.confidence_for(rate)
    return {
        "lookups": table.lookups,
        "max_error_rate": rate,
        "confidence": None if isinf(confidence) else confidence,
        "advice": advice(table, rate, out),
        "table": [
            {
                **row._asdict(),
                "hit_rate": round(row.hits / table.lookups, 4),
                "precision": round(row.precision, 4),
                "expected_error": round(row.error, 4),
            }
            for row in table.table
        ],
    }
