"""The learned verifier: boosted trees over the signals of a candidate, read from a data file.

Trained by `benchmarks/train_verifier.py`; what it was trained on and what it measured stands in the
file's card. Every tree is a list of nodes `[signal, threshold, left, right]`, a leaf is a number.
"""

import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from math import exp

from medha_core.guard.signals import Signals

__all__ = ["Verifier", "shipped"]

Node = list[float] | float


class Verifier:
    """Estimates how likely it is that a candidate's query answers the question."""

    def __init__(self, trees: Sequence[Sequence[Node]], base: float, card: dict[str, object]):
        self.trees = trees
        self.base = base
        self.card = card

    def __call__(self, signals: Signals) -> float:
        """Probability, 0..1."""
        total = self.base
        for tree in self.trees:
            node = tree[0]
            while isinstance(node, list):
                node = tree[node[2] if signals[node[0]] <= node[1] else node[3]]
            total += node
        return 1 / (1 + exp(-total))


@cache
def shipped() -> Verifier:
    """The verifier of the package, read on first use."""
    data = json.loads(gzip.decompress((files(__package__) / "verifier.json.gz").read_bytes()))
    if tuple(data["signals"]) != Signals._fields:
        raise AssertionError("the verifier's data file is of another version of the package")
    return Verifier(data["trees"], data["base"], data["card"])
