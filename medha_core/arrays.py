"""Checks at the door for arrays of vectors, shared by the native core and its twin."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medha_core.errors import ArgumentTypeError, ArgumentValueError, DimensionMismatchError, MedhaError

__all__ = ["as_float_rows", "bad_row", "check_rows"]


def as_float_rows(array: Any, dimension: int, argument: str) -> NDArray[np.float32]:
    """`array` as float32, C-contiguous, shape (n, dimension); a view where the layout allows.

    A single vector of shape (dimension,) is one row, an empty sequence no rows. Numbers beyond
    float32's range become infinite.
    """
    if _is_ready(array, dimension):
        return array
    rows = _as_array(array, dimension, argument)
    if rows.dtype.kind not in "fiu" and rows.size:
        raise ArgumentValueError(argument, "an array of real numbers", rows.dtype)
    if rows.ndim == 1:
        rows = rows.reshape(1, -1) if rows.size else rows.reshape(0, dimension)
    if rows.ndim != 2:
        raise ArgumentValueError(argument, f"an array of shape (n, {dimension})", rows.shape)
    if rows.shape[1] != dimension:
        raise DimensionMismatchError(dimension, rows.shape[1], argument)
    with np.errstate(over="ignore"):
        return np.require(rows, np.float32, ["C", "ALIGNED"])


def _is_ready(array: Any, dimension: int) -> bool:
    return (
        type(array) is np.ndarray
        and array.dtype == np.float32
        and array.ndim == 2
        and array.shape[1] == dimension
        and array.flags.carray
    )


def _as_array(array: Any, dimension: int, argument: str) -> NDArray[Any]:
    try:
        return np.asarray(array)
    except ValueError:
        raise _ragged(array, dimension, argument) from None


def _ragged(array: Sequence[Any], dimension: int, argument: str) -> MedhaError:
    """The error for rows that do not make an array: the first one of another length."""
    for number, row in enumerate(array):
        if not hasattr(row, "__len__"):
            return ArgumentValueError(f"{argument}[{number}]", f"a vector of {dimension} numbers", row)
        if len(row) != dimension:
            return DimensionMismatchError(dimension, len(row), f"{argument}[{number}]")
    return ArgumentValueError(argument, f"an array of shape (n, {dimension})", array)


def bad_row(row: NDArray[np.float32], number: int, argument: str) -> ArgumentValueError:
    """The error for a row without a direction: zero, NaN or infinite."""
    where = f"{argument}[{number}]"
    if np.isfinite(row).all():
        return ArgumentValueError(where, "a vector that is not zero", 0.0)
    return ArgumentValueError(where, "finite numbers", float(row[~np.isfinite(row)][0]))


def check_rows(rows: Any) -> None:
    """Refuse anything but a float32, C-contiguous array of shape (n, d)."""
    if not isinstance(rows, np.ndarray):
        raise ArgumentTypeError("rows", "a NumPy array", rows)
    if rows.dtype != np.float32 or rows.ndim != 2 or not rows.flags.c_contiguous:
        seen = f"{rows.dtype} of shape {rows.shape}"
        raise ArgumentValueError("rows", "a C-contiguous float32 array of shape (n, d)", seen)
