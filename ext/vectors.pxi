# Batches of float32 vectors: unit rows and int8 codes. NumPy's arrays come and go through the
# buffer protocol, so that nothing here is compiled against a NumPy version.

import numpy

from medha_core.arrays import as_float_rows, bad_row, check_rows

cdef extern from "vectors.hpp" namespace "medha::vectors" nogil:
    size_t first_bad_row(const float* data, size_t rows, size_t dimension)
    void to_unit_rows(const float* data, float* out, size_t rows, size_t dimension)
    void quantize_rows "medha::vectors::quantize_int8"(
        const float* data, size_t rows, size_t dimension, int8_t* codes, float* scales
    )


def as_unit_rows(array, dimension, *, argument="vectors", in_place=False):
    """`array` as unit rows: float32, C-contiguous, shape (n, dimension).

    Takes an array or nested sequence of shape (n, dimension), or one vector of shape (dimension,).
    `in_place=True` writes into `array` when it is float32, C-contiguous and writable. Raises
    `DimensionMismatchError` for a wrong length, `ArgumentValueError` naming the row for zero, NaN
    or infinite rows (then nothing is changed).
    """
    rows = as_float_rows(array, dimension, argument)
    out = rows if in_place and rows.flags.writeable else numpy.empty_like(rows)
    if rows.size == 0:
        return out
    cdef const float[:, ::1] source = rows
    cdef float[:, ::1] target = out
    cdef size_t n = source.shape[0], d = source.shape[1], bad
    with nogil:
        bad = first_bad_row(&source[0, 0], n, d)
        if bad == n:
            to_unit_rows(&source[0, 0], &target[0, 0], n, d)
    if bad < n:
        raise bad_row(rows[bad], bad, argument)
    return out


def quantize_int8(rows):
    """One byte per number: codes int8 of shape (n, d) and scales float32 of shape (n,).

    `rows` is float32, C-contiguous, shape (n, d), no row zero, NaN or infinite. `codes *
    scales[:, None]` is `rows` again, to within half a scale; a row's scale is its largest
    magnitude / 127.
    """
    check_rows(rows)
    codes = numpy.empty(rows.shape, numpy.int8)
    scales = numpy.zeros(len(rows), numpy.float32)
    if rows.size == 0:
        return codes, scales
    cdef const float[:, ::1] source = rows
    cdef int8_t[:, ::1] code_view = codes
    cdef float[::1] scale_view = scales
    cdef size_t n = source.shape[0], d = source.shape[1], bad
    with nogil:
        bad = first_bad_row(&source[0, 0], n, d)
        if bad == n:
            quantize_rows(&source[0, 0], n, d, &code_view[0, 0], &scale_view[0])
    if bad < n:
        raise bad_row(rows[bad], bad, "rows")
    return codes, scales
