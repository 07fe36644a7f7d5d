"""Run ours beside its peers and write a table, the figures as JSON, and pictures.

    pip install "medha-core[bench]"
    python -m benchmarks.compare --quick                      # up to 10,000 entries, within five minutes
    python -m benchmarks.compare --out results                # up to 1,000,000, within an hour on two cores
    python -m benchmarks.compare --questions a.jsonl b.jsonl.gz

Each row is a process of its own in which the two sides take turns on one core, after both were filled with
the same vectors. `recall` is the share of hits whose first result is the true nearest entry; a peer with a
graph gets the smallest search breadth that reaches 0.99. The text-like vectors come from the questions of
this repository's tests, or from those in the files of `--questions`. A peer that is not installed is named.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.caches import CACHES
from benchmarks.compare.data import question_vectors
from benchmarks.compare.engines import ENGINES
from benchmarks.compare.limits import Limits, describe
from benchmarks.compare.opening import OPENERS, open_row
from benchmarks.compare.report import markdown, plots

ROOT = Path(__file__).parents[2]


def tasks(quick: bool, sizes: list[int], questions: str) -> list[dict[str, Any]]:
    """The rows to measure, small ones first."""
    sizes = sizes or ([1_000, 10_000] if quick else [1_000, 10_000, 100_000, 1_000_000])
    found: list[dict[str, Any]] = []
    for size in sizes:
        for data in ("synthetic", "text"):
            for peer, engine in ENGINES.items():
                if size <= engine.most and not (quick and size > 1_000 and peer in ("lancedb", "chromadb")):
                    found.append({"work": "index", "peer": peer, "data": data, "size": size})
        found += [
            {"work": "cache", "peer": peer, "data": "synthetic", "size": size}
            for peer, cache in CACHES.items()
            if size <= cache.most and not (quick and size > 1_000)
        ]
    found += [{"work": "open", "peer": peer, "data": "", "size": sizes[-1]} for peer in OPENERS]
    return [task | {"questions": questions} for task in found]


def measured(task: dict[str, Any]) -> dict[str, Any]:
    """The row of a task. Raises `ImportError` with the reason when a peer cannot be measured."""
    if task["work"] == "open":
        return open_row(task["peer"], task["size"])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare.pair", json.dumps(task)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise ImportError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return json.loads(lines[-1])


def progress(started: float, task: dict[str, Any]) -> None:
    seconds, row = time.monotonic() - started, (task["work"], task["data"], f"{task['size']:,}", task["peer"])
    print(f"{seconds:6.0f} s ", *row, file=sys.stderr, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--quick", action="store_true", help="small sizes only")
    arguments.add_argument("--sizes", nargs="*", type=int, default=[], help="other numbers of entries")
    arguments.add_argument("--out", type=Path, default=Path("compare-results"), help="folder of the results")
    arguments.add_argument("--questions", nargs="*", default=[], help="JSONL files with real questions")
    arguments.add_argument(
        "--only", default="", help="measure only rows whose peer or work has this in its name"
    )
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows, absent, started = [], {}, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        questions = question_vectors(given.questions, Path(folder))
        limits = Limits()
        for task in tasks(given.quick, given.sizes, questions):
            if given.only not in task["peer"] + " " + task["work"] or task["peer"] in absent:
                continue
            progress(started, task)
            try:
                row = measured(task)
            except ImportError as error:
                absent[task["peer"]] = str(error)
                continue
            row["peer"]["name"] = task.pop("peer")
            rows.append(row | {name: task[name] for name in ("work", "data", "size")})
            result = {"machine": describe(), "rows": rows, "absent": absent}
            (given.out / "compare.json").write_text(json.dumps(result, indent=1), "utf-8")
    text = markdown(rows, absent, describe(), limits)
    (given.out / "compare.md").write_text(text, "utf-8")
    plots(rows, given.out)
    print(text)


if __name__ == "__main__":
    main()
