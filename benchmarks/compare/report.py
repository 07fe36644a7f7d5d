"""The rows of a run as Markdown and as pictures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.compare.limits import Limits

__all__ = ["markdown", "plots"]

Row = dict[str, Any]


def markdown(rows: list[Row], absent: dict[str, str], machine: str, limits: Limits) -> str:
    """Tables by kind of work, with the ratio to each peer, and of ours to the limit of the machine."""
    parts = [f"Machine: {machine}. Medians of single calls in microseconds, both sides in turn on one core."]
    parts += _index_tables([row for row in rows if row["work"] == "index"], limits)
    parts += _cache_tables([row for row in rows if row["work"] == "cache"])
    parts += _open_tables([row for row in rows if row["work"] == "open"])
    if absent:
        parts.append("Not measured: " + "; ".join(f"{name} ({why})" for name, why in absent.items()))
    return "\n\n".join(parts) + "\n"


def _table(head: str, lines: Iterable[list[str]]) -> str:
    columns = head.split("|")
    body = [" | ".join(cells) for cells in lines]
    return "\n".join(f"| {line} |" for line in [" | ".join(columns), "|".join("---" for _ in columns), *body])


def _index_tables(rows: list[Row], limits: Limits) -> list[str]:
    found = []
    for data, size in sorted({(row["data"], row["size"]) for row in rows}):
        chosen = [row for row in rows if (row["data"], row["size"]) == (data, size)]
        limit = limits.scan_us(size)
        lines = []
        for row in chosen:
            ours, peer = row["ours"], row["peer"]
            lines.append(
                [
                    row["peer"]["name"] + (f", ef {peer['ef']}" if peer["ef"] else ""),
                    f"{ours['hit']['p50_us']:.1f} / {peer['hit']['p50_us']:.1f}",
                    f"{ours['miss']['p50_us']:.1f} / {peer['miss']['p50_us']:.1f}",
                    f"{ours['recall']:.3f} / {peer['recall']:.3f}",
                    f"{ours['build_cpu_s']:.2f} / {peer['build_cpu_s']:.2f}",
                    f"{ours['bytes'] / 2**20:.0f} / {peer['bytes'] / 2**20:.0f}",
                    f"{peer['hit']['p50_us'] / ours['hit']['p50_us']:.1f}",
                    f"{peer['miss']['p50_us'] / ours['miss']['p50_us']:.1f}",
                    f"{ours['hit']['p50_us'] / limit:.1f}",
                ]
            )
        best = min(chosen, key=lambda row: row["peer"]["hit"]["p50_us"])
        ratio = best["peer"]["hit"]["p50_us"] / best["ours"]["hit"]["p50_us"]
        found.append(
            f"### Index, {size:,} {data} vectors\n\nBest peer: {best['peer']['name']}, {ratio:.1f} times."
        )
        head = "ours / peer|hit|miss|recall|build, CPU s|MB|times faster, hit|miss|ours to the limit"
        found.append(_table(head, lines))
    return found


def _cache_tables(rows: list[Row]) -> list[str]:
    found = []
    for data, size in sorted({(row["data"], row["size"]) for row in rows}):
        lines = []
        for row in rows:
            if (row["data"], row["size"]) != (data, size):
                continue
            ours, peer = row["ours"], row["peer"]
            cells = [peer["name"]]
            for kind in ("l1", "hit", "miss", "store"):
                theirs = peer.get(kind)
                shown = f"{ours[kind]['p50_us']:.1f} / {theirs['p50_us']:.1f}" if theirs else "-"
                ratio = f" ({theirs['p50_us'] / ours[kind]['p50_us']:.1f})" if theirs else ""
                cells.append(shown + ratio)
            cells.append(f"{ours['right']:.3f} / {peer['right']:.3f}" if "right" in peer else "-")
            lines.append(cells)
        found.append(f"### Whole caches, {size:,} entries ({data}), embedding given")
        head = "ours / peer (times)|first-level or exact text|semantic hit|miss|store|right hits"
        found.append(_table(head, lines))
    return found


def _open_tables(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        [
            f"{row['size']:,}",
            row["peer"]["name"],
            f"{row['ours']['ms']:.1f} / {row['peer']['ms']:.1f}",
            f"{row['ours']['resident_mb']:.0f} / {row['peer']['resident_mb']:.0f}",
            f"{row['peer']['ms'] / row['ours']['ms']:.1f}",
        ]
        for row in rows
    ]
    head = "entries|ours / peer|open and first answer, ms|resident, MB|times faster"
    return ["### Opening a file in a fresh process", _table(head, lines)]


def plots(rows: list[Row], folder: Path) -> list[Path]:
    """Latency against size, recall against latency, memory and build; nothing without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = []
    for data in sorted({row["data"] for row in rows if row["work"] == "index"}):
        chosen = [row for row in rows if row["work"] == "index" and row["data"] == data]
        figure, axes = pyplot.subplots(2, 2, figsize=(12, 9), layout="constrained")
        quantities = {
            "hit, us": lambda side: side["hit"]["p50_us"],
            "build, CPU s": lambda side: side["build_cpu_s"],
            "memory, MB": lambda side: side["bytes"] / 2**20,
        }
        for axis, (title, value) in zip(axes.flat, quantities.items(), strict=False):
            for name, points in _series(chosen, value).items():
                axis.plot(*zip(*sorted(points.items()), strict=True), marker="o", label=name)
            axis.set(xscale="log", yscale="log", xlabel="entries", ylabel=title)
        for row in chosen:
            for side in ("ours", "peer"):
                name = row["peer"]["name"] if side == "peer" else "medha_core"
                axes[1, 1].scatter(row[side]["hit"]["p50_us"], row[side]["recall"], label=name)
        axes[1, 1].set(xscale="log", xlabel="hit, us", ylabel="recall@1")
        axes[0, 0].legend(fontsize="small")
        figure.suptitle(f"{data} vectors, 384 dimensions, one query per call")
        paths.append(folder / f"index-{data}.png")
        figure.savefig(paths[-1], dpi=110)
        pyplot.close(figure)
    return paths


def _series(rows: list[Row], value: Any) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault("medha_core", {})[row["size"]] = max(value(row["ours"]), 1e-3)
        found.setdefault(row["peer"]["name"], {})[row["size"]] = max(value(row["peer"]), 1e-3)
    return found
