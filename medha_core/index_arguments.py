"""Checks at the door of the vector index, shared by the native one and its twin."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medha_core.errors import ArgumentTypeError, ArgumentValueError, StorageError

__all__ = [
    "MODES",
    "QUANTIZATIONS",
    "TIERS",
    "as_allowed",
    "as_labels",
    "as_score",
    "as_whole",
    "check_choice",
    "check_one",
    "check_pairs",
    "check_writable",
]

QUANTIZATIONS = ("float32", "int8", "binary")
TIERS = ("auto", "scan", "graph")
MODES = ("r", "c")


def as_whole(argument: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    """`value` as an int within [least, most]."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(argument, "a whole number", value) from None
    if not least <= number <= most:
        raise ArgumentValueError(argument, f"a whole number from {least} to {most}", value)
    return number


def as_score(argument: str, value: Any) -> float:
    """`value` as a finite float."""
    if isinstance(value, str | bytes):
        raise ArgumentTypeError(argument, "a number", value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentTypeError(argument, "a number", value) from None
    if not math.isfinite(number):
        raise ArgumentValueError(argument, "a finite number", value)
    return number


def check_choice(argument: str, value: Any, choices: Sequence[str]) -> int:
    """The position of `value` in `choices`."""
    if value not in choices:
        raise ArgumentValueError(argument, "one of " + ", ".join(map(repr, choices)), value)
    return choices.index(value)


def as_labels(argument: str, value: Any) -> NDArray[np.uint64]:
    """An int, or a sequence or array of ints, as uint64 of shape (n,); a view where the layout allows."""
    array = np.asarray(value)
    if array.dtype == np.uint64 and array.ndim == 1 and array.flags.c_contiguous:
        return array
    if array.ndim > 1:
        raise ArgumentValueError(argument, "one int or a sequence of ints", value)
    if array.size == 0:
        return np.empty(0, np.uint64)
    if array.dtype.kind == "i" and array.min() < 0:
        raise ArgumentValueError(argument, "labels of 0 and above", int(array.min()))
    if array.dtype.kind not in "iu":
        return _large_labels(argument, value)
    return np.ascontiguousarray(array, np.uint64).reshape(-1)


def _large_labels(argument: str, value: Any) -> NDArray[np.uint64]:
    """Python ints that NumPy would not keep as integers: those from 2**63 to 2**64 among small ones."""
    items = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return np.array([as_whole(argument, item, 0, 2**64 - 1) for item in items], np.uint64)


def check_one(rows: NDArray[np.float32]) -> None:
    """One query vector, not several."""
    if len(rows) != 1:
        raise ArgumentValueError("vector", "one vector", rows.shape)


def check_pairs(labels: NDArray[np.uint64], rows: NDArray[np.float32]) -> None:
    """As many labels as vectors."""
    if len(labels) != len(rows):
        raise ArgumentValueError("labels", f"one label for each of {len(rows)} vectors", len(labels))


def as_allowed(value: Any) -> NDArray[np.uint8] | NDArray[np.uint64] | None:
    """None; flags by label as uint8; or allowed labels as sorted, distinct uint64."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype == np.bool_:
        if array.ndim != 1:
            raise ArgumentValueError("allowed", "a flat array", array.shape)
        return np.ascontiguousarray(array).view(np.uint8)
    return np.unique(as_labels("allowed", value))


def check_writable(read_only: bool) -> None:
    """Refuse to change an index that was opened for reading."""
    if read_only:
        raise StorageError("the index was opened read-only: open it with mode='c' to change it in memory")
