"""How right the cache is: `Medha` with the real model, played the streams and pairs of JSONL files.

    python -m benchmarks.quality FILE... [--rules] [--stress N] [--seed N] [--false N]

Each line of a file is one record. A stream's records have `id`, `question`, `sql` and, optionally, `alts`
(other right queries) and `scope`; they are shuffled with the seed and played as a cache lives them: look up,
and store what was a miss with its own query. A pair's records have `kind`, `stored_question`, `stored_sql`,
`probe` and `probe_sql` (null where no query is right): a fresh cache that holds only the stored question is
asked the probe. Files may be gzipped. `--rules` plays everything a second time with a verifier that only
says whether the rules find nothing amiss, so that what the learned one adds can be seen; `--card` prints
what it does on sets it was not trained on. `factory` is the adapter for harnesses with their own loop.
"""

import argparse
import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.yardstick_adapter import Cache, factory
from medha_core.guard import judge
from medha_core.guard.signals import Signals
from medha_core.guard.verifier import Verifier, shipped

__all__ = ["factory", "main", "pairs", "rules_only", "stream"]

CAP = 2500
Record = dict[str, Any]


class Rules(Verifier):
    """Stands in for the verifier: certain where nothing is left over, or nothing that ever mattered."""

    def __init__(self) -> None:
        super().__init__([], 0.0, {})

    def __call__(self, signals: Signals) -> float:
        left = signals.asked_named + signals.asked_strange + signals.stored_named + signals.stored_strange
        clean = not (left or signals.bindings or signals.projection or signals.interrogatives)
        learnt = signals.seen_same and not signals.seen_other
        return 1.0 if clean or learnt else 0.0


@contextmanager
def rules_only() -> Iterator[None]:
    """While this lasts, guards use the rules alone."""
    before = judge.shipped
    judge.shipped = Rules
    try:
        yield
    finally:
        judge.shipped = before


def records(path: Path) -> list[Record]:
    """The records of a file, without those marked ambiguous or dependent on a dialogue."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines if line.strip()]
    return [one for one in found if not (one.get("ambiguous") or one.get("context_dependent"))]


def canonical(query: str | None) -> str | None:
    """A query as it is compared: spaces and case do not count."""
    return None if query is None else " ".join(query.split()).lower()


def stream(
    found: Iterable[Record], make: Callable[[str], Cache], seed: int = 7
) -> tuple[Counter, list[Record]]:
    """Counts of look-ups, hits and right hits, and the wrong hits."""
    rows = sorted(found, key=lambda row: row["id"])
    random.Random(seed).shuffle(rows)
    caches: dict[str, Cache] = {}
    counts: Counter[str] = Counter()
    wrong: list[Record] = []
    for row in rows[:CAP]:
        scope = row.get("scope", "")
        cache = caches.get(scope) or caches.setdefault(scope, make(scope))
        query, about = cache.search(row["question"])
        counts["lookups"] += 1
        if query is None:
            cache.store(row["question"], row["sql"])
            continue
        right = canonical(query) in {canonical(one) for one in (row["sql"], *row.get("alts", ()))}
        counts.update(hits=1, right=int(right))
        if not right:
            wrong.append({"question": row["question"], "gold": row["sql"], "given": query, **about})
    for cache in caches.values():
        cache.close()
    return counts, wrong


def pairs(found: Iterable[Record], make: Callable[[str], Cache], limit: int = 150) -> dict[str, Counter]:
    """For each kind of pair: how many were asked, answered rightly, answered wrongly."""
    kinds: defaultdict[str, Counter] = defaultdict(Counter)
    for row in found:
        counts = kinds[row["kind"]]
        if counts["asked"] >= limit:
            continue
        cache = make(row.get("scope", ""))
        cache.store(row["stored_question"], row["stored_sql"])
        query, _ = cache.search(row["probe"])
        cache.close()
        counts["asked"] += 1
        if query is not None:
            wanted = canonical(row["probe_sql"])
            counts["right" if wanted is not None and canonical(query) == wanted else "wrong"] += 1
    return dict(kinds)


def report(paths: Iterable[Path], arguments: argparse.Namespace) -> list[Record]:
    """Play all files and print a line for each; the wrong hits are returned."""
    total: Counter[str] = Counter()
    kinds: defaultdict[str, Counter] = defaultdict(Counter)
    wrong: list[Record] = []
    for path in paths:
        found = records(path)
        if found and "probe" in found[0]:
            for kind, counts in pairs(found, factory, arguments.stress).items():
                kinds[kind].update(counts)
            continue
        counts, false = stream(found, factory, arguments.seed)
        print(f"{path.name:32s} {_rates(counts)}", flush=True)
        total.update(counts)
        wrong += false
    if total:
        print(f"{'all streams':32s} {_rates(total)}")
    for kind, counts in sorted(kinds.items()):
        asked = counts["asked"]
        print(
            f"{kind:32s} asked {asked:5d}  right {counts['right'] / asked:7.2%}"
            f"  wrong {counts['wrong'] / asked:7.2%}"
        )
    return wrong


def _rates(counts: Counter) -> str:
    hits = counts["hits"]
    precision = counts["right"] / hits if hits else 1.0
    return f"look-ups {counts['lookups']:5d}  hit {hits / counts['lookups']:7.2%}  precision {precision:7.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rules", action="store_true", help="compare with the rules alone")
    parser.add_argument("--stress", type=int, default=150, help="pairs of a kind in each file")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--false", type=int, default=0, dest="shown", help="wrong hits to print")
    parser.add_argument("--card", action="store_true", help="print the verifier's card")
    arguments = parser.parse_args()
    if arguments.card:
        print(json.dumps(shipped().card, indent=1))
    if arguments.files:
        wrong = report(arguments.files, arguments)
        random.Random(arguments.seed).shuffle(wrong)
        for one in wrong[: arguments.shown]:
            print(json.dumps(one, ensure_ascii=False))
    if arguments.files and arguments.rules:
        print("the rules alone, without the verifier:")
        with rules_only():
            report(arguments.files, arguments)


if __name__ == "__main__":
    main()
