"""Measure how often the guard errs, by confidence, on question sets that its verifier was not trained on.

    python -m benchmarks.calibrate_verifier FOLDER [--vectors M:F] [--without SET,..] [--rules] [--out FILE]

FOLDER is that of `train_verifier.py`. For each set, a verifier is trained on the other sets and decides
in the streams of this one; the answers of all sets, with their confidence, make the package's table.
Needs the extra `bench`.
"""

import argparse
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.quality import Rules
from benchmarks.train_verifier import (
    VECTORS,
    Stream,
    canonical,
    cold_rows,
    exported,
    fitted,
    records,
    rows_of,
)
from medha_core.deciding.calibration import Calibration, Outcome
from medha_core.deciding.decision import decide
from medha_core.guard import Guard, Reason
from medha_core.guard.verifier import Verifier

OUT = Path("medha_core/guard/calibration.json")
RATES = (0.05, 0.03, 0.02, 0.01, 0.005)

Vector = Callable[[str], np.ndarray]


def streams(folder: Path) -> dict[str, list[Path]]:
    """The streams of each set."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        if ".stress." not in path.name:
            found.setdefault(path.name.split(".")[0], []).append(path)
    return found


def trained_without(name: str, rows: np.ndarray, labels: np.ndarray, sets: np.ndarray) -> Verifier:
    """A verifier that has not seen a set."""
    others = sets != name
    trees, base = exported(fitted(rows[others], labels[others], sets[others]))
    return Verifier(trees, base, {})


def played(path: Path, verifier: Verifier, vector: Vector) -> Iterator[Outcome | None]:
    """What each look-up of a stream gives: an outcome, or None for a miss, which is then stored."""
    stream = Stream(Guard("balanced", verifier=verifier), vector)
    for row in records(path):
        asked, near = stream.candidates(row["question"])
        decision = decide(stream.guard, stream.learned, asked, [one.features for one in near], near)
        if decision.winner is None:
            stream.store(row["question"], row["sql"], near)
            yield None
            continue
        query = decision.substituted.query if decision.substituted else near[decision.winner].query
        right = canonical(query) in {canonical(q) for q in (row["sql"], *row.get("alts", ()))}
        verdict = decision.verdict(decision.winner)
        same = verdict.reason is Reason.SAME and decision.substituted is None
        yield Outcome(verdict.confidence, right, same)


def remembered(vector: Vector) -> Vector:
    known: dict[str, np.ndarray] = {}

    def look_up(text: str) -> np.ndarray:
        if text not in known:
            known[text] = vector(text)
        return known[text]

    return look_up


def signals_of(paths: dict[str, list[Path]], vector: Vector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals, labels and set of every candidate the verifier is asked about."""
    found = [
        (signals, right, name)
        for name in paths
        for p in paths[name]
        for signals, right in (*rows_of(p, vector), *cold_rows(p, vector))
    ]
    rows, labels, sets = zip(*found, strict=True)
    return np.array(rows, float), np.array(labels), np.array(sets)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vectors", default=VECTORS, help="text -> unit vector")
    parser.add_argument("--without", default="", help="sets that train, but are not measured, by comma")
    parser.add_argument("--rules", action="store_true", help="compare with the rules alone")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    module, _, function = arguments.vectors.partition(":")
    vector = remembered(getattr(importlib.import_module(module), function))
    paths = streams(arguments.folder)
    data = signals_of(paths, vector)
    measured = [name for name in paths if name not in arguments.without.split(",")]
    found: dict[str, list[Outcome | None]] = {}
    for name in measured:
        verifier = trained_without(name, *data)
        found[name] = [o for path in paths[name] for o in played(path, verifier, vector)]
        show(name, found[name])
        if arguments.rules:
            show(f"{name}, rules alone", [o for path in paths[name] for o in played(path, Rules(), vector)])
    check(found)
    every = [outcome for name in measured for outcome in found[name]]
    table = show("all", every, f"{', '.join(measured)}, each with a verifier trained on the other sets")
    arguments.out.write_text(json.dumps(table.as_dict(), indent=0) + "\n", encoding="utf-8")


def check(found: dict[str, list[Outcome | None]]) -> None:
    """What a promise made from the other sets comes to on each set."""
    for name, outcomes in found.items():
        others = [o for other, them in found.items() if other != name for o in them]
        table, here = table_of(others), table_of(outcomes)
        for rate in RATES[2:4]:
            rows = [row for row in here.table if row.confidence == table.confidence_for(rate)]
            seen = ", ".join(f"{row.wrong} of {row.weighed} wrong" for row in rows) or "no weighed answer"
            print(f"{name}: promised {rate} from the other sets, seen {seen}")


def table_of(outcomes: list[Outcome | None], source: str = "") -> Calibration:
    return Calibration.of(len(outcomes), [o for o in outcomes if o is not None], source)


def show(name: str, found: list[Outcome | None], source: str = "") -> Calibration:
    table = table_of(found, source)
    floor = table.table[0]
    print(
        f"{name}: {len(found)} look-ups, hit {floor.hits / len(found):.3f}, precision {floor.precision:.4f}"
    )
    print("   ", {rate: table.confidence_for(rate) for rate in RATES}, flush=True)
    return table


if __name__ == "__main__":
    main()
