"""Batches of float32 vectors: the twin of ext/vectors.pxi."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medha_core.arrays import as_float_rows, bad_row, check_rows

__all__ = ["as_unit_rows", "quantize_int8"]


def as_unit_rows(
    array: Any, dimension: int, *, argument: str = "vectors", in_place: bool = False
) -> NDArray[np.float32]:
    """`array` as unit rows: float32, C-contiguous, shape (n, dimension).

    Takes an array or nested sequence of shape (n, dimension), or one vector of shape (dimension,).
    `in_place=True` writes into `array` when it is float32, C-contiguous and writable. Raises
    `DimensionMismatchError` for a wrong length, `ArgumentValueError` naming the row for zero, NaN
    or infinite rows (then nothing is changed).
    """
    rows = as_float_rows(array, dimension, argument)
    out = rows if in_place and rows.flags.writeable else np.empty_like(rows)
    np.divide(rows, _lengths(rows, argument)[:, None], out=out, casting="same_kind")
    return out


def _lengths(rows: NDArray[np.float32], argument: str) -> NDArray[np.float64]:
    squared = np.einsum("ij,ij->i", rows, rows, dtype=np.float64, casting="safe")
    bad = np.flatnonzero(~(np.isfinite(squared) & (squared > 0)))
    if bad.size:
        raise bad_row(rows[bad[0]], int(bad[0]), argument)
    return np.sqrt(squared)


def quantize_int8(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """One byte per number: codes int8 of shape (n, d) and scales float32 of shape (n,).

    `rows` is float32, C-contiguous, shape (n, d), no row zero, NaN or infinite. `codes *
    scales[:, None]` is `rows` again, to within half a scale; a row's scale is its largest
    magnitude / 127.
    """
    check_rows(rows)
    _lengths(rows, "rows")
    scales = np.abs(rows).max(axis=1, initial=0) / np.float32(127)
    steps = np.divide(rows, scales[:, None], out=np.zeros_like(rows), where=scales[:, None] > 0)
    return np.clip(np.rint(steps), -127, 127).astype(np.int8), scales
