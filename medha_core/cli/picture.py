"""Hit rate against precision as a picture; needs the extra `plot`."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from medha_core.deciding.calibration import Calibration
from medha_core.errors import MedhaError

_NAMED = (0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
"""Confidences written beside their points, where there is room."""
_ROOM = 0.06
"""Share of the axis that a name takes."""


def draw(table: Calibration, path: Path) -> None:
    """Write the picture; the file's ending chooses its format. Raises `MedhaError`."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = {row.confidence: (100 * row.hits / table.lookups, 100 * row.precision) for row in table.table}
    x, y = zip(*points.values(), strict=True)
    axes.plot(x, y, marker="o", markersize=4, linewidth=1.2, color="#1f5f8b")
    room, last = _ROOM * max(max(x) - min(x), 1e-9), math.inf
    for confidence in _NAMED:
        if last - points[confidence][0] >= room:
            last = points[confidence][0]
            place = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center", "fontsize": 8}
            axes.annotate(f"{confidence:g}", points[confidence], **place)
    axes.margins(y=0.12)
    axes.set_xlabel("questions answered, %")
    axes.set_ylabel("of these right, %")
    axes.set_title(f"{table.lookups} questions, by the confidence asked for", fontsize=10)
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:  # ValueError: an ending matplotlib has no format for
        raise MedhaError(f"--plot {path}: {error}") from error
