"""Train the guard's verifier and say, set by set, what it does on sets it was not trained on.

    python -m benchmarks.train_verifier FOLDER [--vectors module:function] [--out FILE] [--without NAMES]

FOLDER holds question sets as `NAME.jsonl.gz` and `NAME.mix.jsonl.gz` (one `{"id", "question", "sql", "alts"}`
per line). Each stream is played as a cache lives it; every candidate the vetoes leave is one row, right when
its query is one of the gold ones. Only the resulting numbers are written. Needs the extra `bench`.
"""

import argparse
import gzip
import importlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from medha_core.deciding.decision import Candidate, decide
from medha_core.deciding.substitution import proposals, write
from medha_core.guard import FAR, Guard, Learned, Reading
from medha_core.guard.signals import FALLING, RISING, Signals
from medha_core.guard.verifier import Verifier

VECTORS = "benchmarks.yardstick_adapter:vector"
FLOOR, NEAREST, CAP, COLD, SEED = 0.70, 8, 2500, 700, 7
SETTINGS = {
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_leaf_nodes": 6,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "random_state": 0,
}


class Recorder(Verifier):
    """Stands in for a verifier: keeps the signals it is shown and believes what is well supported."""

    def __init__(self) -> None:
        super().__init__([], 0.0, {})
        self.seen: Signals | None = None

    def __call__(self, signals: Signals) -> float:
        self.seen = signals
        left = signals.asked_named + signals.asked_strange + signals.stored_named + signals.stored_strange
        clean = not (left or signals.bindings or signals.projection or signals.interrogatives)
        learnt = signals.seen_same and not signals.seen_other and signals.score >= 0.85
        return 1.0 if clean or learnt else 0.0


class Stream:
    """A cache that is played one stream, with an exact scan instead of an index."""

    def __init__(self, guard: Guard, vector: Callable[[str], np.ndarray]):
        self.guard, self.vector, self.learned = guard, vector, Learned()
        self.entries: list[tuple[np.ndarray, Candidate]] = []

    def candidates(self, question: str) -> tuple[object, list[Candidate]]:
        asked = self.guard.features(question)
        if not self.entries:
            return asked, []
        scores = np.stack([vector for vector, _ in self.entries]) @ self.vector(question)
        near = [int(i) for i in np.argsort(-scores)[:NEAREST] if scores[i] >= FLOOR]
        near += [i for i in self.guard.alike(asked, self.learned) if i not in near]
        return asked, [self.entries[i][1]._replace(score=float(scores[i])) for i in near]

    def store(self, question: str, query: str, near: list[Candidate]) -> None:
        features = self.guard.features(question, query)
        self.learned.observe(len(self.entries), features, [c.features for c in near])
        self.entries.append((self.vector(question), Candidate(features, query, 1.0)))


def records(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [r for r in rows if not r.get("ambiguous") and not r.get("context_dependent")]
    rows.sort(key=lambda row: row["id"])
    random.Random(SEED).shuffle(rows)
    return rows[:CAP]


def canonical(query: str) -> str:
    return re.sub(r"\s+", " ", query).strip().lower()


def rows_of(path: Path, vector: Callable[[str], np.ndarray]) -> Iterator[tuple[Signals, bool]]:
    """Signals and label of every candidate that reaches the verifier while a stream is played."""
    recorder = Recorder()
    stream = Stream(Guard("balanced", verifier=recorder), vector)
    for row in records(path):
        asked, near = stream.candidates(row["question"])
        gold = {row["sql"], *row.get("alts", ())}
        for candidate in near:
            yield from _judged(stream, recorder, asked, candidate, near, gold)
        decision = decide(stream.guard, stream.learned, asked, [one.features for one in near], near)
        if decision.winner is None:
            stream.store(row["question"], row["sql"], near)


def cold_rows(path: Path, vector: Callable[[str], np.ndarray]) -> Iterator[tuple[Signals, bool]]:
    """Signals and label of neighbours that are asked of a cache which holds one entry only.

    Here nothing is learnt and no rival is near, so that wording alone has to tell.
    """
    recorder = Recorder()
    pairs = list({(row["question"], row["sql"]): row for row in records(path)}.values())
    vectors = np.stack([vector(row["question"]) for row in pairs])
    for place in range(0, len(pairs), -(-len(pairs) // COLD)):
        stream = Stream(Guard("balanced", verifier=recorder), vector)
        stream.store(pairs[place]["question"], pairs[place]["sql"], [])
        scores = vectors @ vectors[place]
        for i in np.argsort(-scores)[1 : NEAREST + 1]:
            if scores[i] < FLOOR:
                break
            asked, near = stream.candidates(pairs[i]["question"])
            gold = {pairs[i]["sql"], *pairs[i].get("alts", ())}
            for candidate in near:
                yield from _judged(stream, recorder, asked, candidate, near, gold)


def _judged(stream, recorder, asked, candidate, near, gold) -> Iterator[tuple[Signals, bool]]:
    others = [c.score for c in near if c.features.shape != candidate.features.shape]
    margin = candidate.score - max(others) if others else FAR
    readings = [(None, candidate.query)]
    for proposal in proposals(asked, candidate.features, candidate.query, stream.learned.values):
        made = write(candidate.query, candidate.features, proposal)
        if made:
            readings.append((Reading(proposal.asked, proposal.stored, proposal.exchanged), made.query))
    for reading, query in readings:
        recorder.seen = None
        stream.guard.judge(
            asked, candidate.features, candidate.score, learned=stream.learned, margin=margin, reading=reading
        )
        if recorder.seen:
            yield recorder.seen, canonical(query) in gold


def fitted(rows: np.ndarray, labels: np.ndarray, sets: np.ndarray) -> HistGradientBoostingClassifier:
    """Trees whose answer can only rise with RISING signals; small sets count more than their size."""
    signs = [(name in RISING) - (name in FALLING) for name in Signals._fields]
    sizes = {name: (sets == name).sum() for name in set(sets)}
    weights = np.array([sizes[name] ** -0.5 for name in sets])
    model = HistGradientBoostingClassifier(monotonic_cst=signs, **SETTINGS)
    return model.fit(rows, labels, sample_weight=weights / weights.mean())


def exported(model: HistGradientBoostingClassifier) -> tuple[list, float]:
    """The trees as lists of `[signal, threshold, left, right]` or leaf values, and the base score."""
    trees = []
    for (predictor,) in model._predictors:
        trees.append(
            [
                round(float(n["value"]), 5)
                if n["is_leaf"]
                else [
                    int(n["feature_idx"]),
                    round(float(n["num_threshold"]), 6),
                    int(n["left"]),
                    int(n["right"]),
                ]
                for n in predictor.nodes
            ]
        )
    return trees, float(np.ravel(model._baseline_prediction)[0])


def held_out(rows, labels, sets) -> list[dict]:
    """For each set: how right the verifier is, at several limits, when it has not seen that set."""
    report = []
    for name in sorted(set(sets)):
        test = sets == name
        chance = fitted(rows[~test], labels[~test], sets[~test]).predict_proba(rows[test])[:, 1]
        line: dict[str, object] = {"set": name, "rows": int(test.sum())}
        for limit in (0.7, 0.87, 0.95):
            taken = chance >= limit
            line[f"at {limit}"] = [
                int(taken.sum()),
                round(float(labels[test][taken].mean()), 4) if taken.any() else None,
            ]
        report.append(line)
        print(line, flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vectors", default=VECTORS, help="text -> unit vector")
    parser.add_argument("--out", type=Path, default=Path("medha_core/guard/verifier.json.gz"))
    parser.add_argument("--without", default="", help="sets to leave out, by comma")
    arguments = parser.parse_args()
    module, _, function = arguments.vectors.partition(":")
    vector = getattr(importlib.import_module(module), function)
    rows, labels, sets = [], [], []
    for path in sorted(arguments.folder.glob("*.jsonl.gz")):
        name = path.name.split(".")[0]
        if ".stress." in path.name or name in arguments.without.split(","):
            continue
        for signals, right in (*rows_of(path, vector), *cold_rows(path, vector)):
            rows.append(signals)
            labels.append(right)
            sets.append(name)
    rows, labels, sets = np.array(rows, float), np.array(labels), np.array(sets)
    report = held_out(rows, labels, sets)
    trees, base = exported(fitted(rows, labels, sets))
    card = {
        "rows": len(rows),
        "sets": sorted(set(sets)),
        "data": "text2sql-data (Finegan-Dollak et al., ACL 2018); only thresholds and leaf values are kept",
        "held out": report,
        "settings": SETTINGS,
    }
    data = {"signals": Signals._fields, "base": base, "trees": trees, "card": card}
    arguments.out.write_bytes(gzip.compress(json.dumps(data).encode(), 9, mtime=0))
    print(arguments.out, arguments.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
