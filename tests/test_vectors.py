"""Batches of vectors: unit rows and int8 codes, on the extension and on its twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medha_core import _twin
from medha_core.errors import ArgumentTypeError, ArgumentValueError, DimensionMismatchError

numbers = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
batches = st.tuples(st.integers(1, 6), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=numbers)
)


@given(batches)
def test_rows_have_length_one_and_keep_their_direction(core, batch):
    batch = batch[np.abs(batch).max(axis=1) > 0]
    rows = core.as_unit_rows(batch, batch.shape[1])
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert rows.shape == batch.shape
    lengths = np.linalg.norm(batch.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(rows * lengths, batch, rtol=3e-7, atol=1e-7 * lengths.max(initial=1))
    np.testing.assert_allclose(rows, _twin.as_unit_rows(batch, batch.shape[1]), rtol=2.4e-7)


@pytest.mark.parametrize("dimension", [1, 7, 8, 9, 384, 768])
def test_a_row_is_the_same_alone_and_in_any_batch(core, dimension):
    batch = np.random.default_rng(7).standard_normal((50, dimension)).astype(np.float32)
    together = core.as_unit_rows(batch, dimension)
    for number in (0, 17, 49):
        assert np.array_equal(core.as_unit_rows(batch[number], dimension)[0], together[number])
    assert np.array_equal(core.as_unit_rows(batch[::-1], dimension), together[::-1])


@pytest.mark.parametrize(
    "array",
    [
        [[3, 4], [6, 8]],
        [[3.0, 4.0], (6, 8)],
        np.array([[3, 4], [6, 8]], np.int64),
        np.array([[3, 4], [6, 8]], np.float16),
        np.array([[3, 4], [6, 8]], np.dtype(">f4")),
        np.asfortranarray(np.array([[3, 4], [6, 8]], np.float32)),
        np.array([[3, 0, 4, 0], [6, 0, 8, 0]], np.float64)[:, ::2],
    ],
)
def test_any_layout_of_real_numbers_is_taken(core, array):
    np.testing.assert_allclose(core.as_unit_rows(array, 2), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_one_vector_is_one_row_and_nothing_is_no_rows(core):
    assert core.as_unit_rows([3, 4], 2).shape == (1, 2)
    assert core.as_unit_rows([], 2).shape == (0, 2)
    assert core.as_unit_rows(np.empty((0, 2)), 2).shape == (0, 2)


def test_the_input_stays_as_it_is_unless_asked(core):
    array = np.array([[3, 4]], np.float32)
    rows = core.as_unit_rows(array, 2)
    assert array.tolist() == [[3, 4]]
    assert not np.shares_memory(rows, array)
    assert core.as_unit_rows(array, 2, in_place=True) is array
    assert np.array_equal(array, rows)


def test_read_only_input_is_not_written_to(core):
    array = np.array([[3, 4]], np.float32)
    array.flags.writeable = False
    np.testing.assert_allclose(core.as_unit_rows(array, 2, in_place=True), [[0.6, 0.8]], rtol=1e-6)
    assert array.tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, 0, 0], r"given\[2\]: expected a vector that is not zero"),
        ([1, float("nan"), 0], r"given\[2\]: expected finite numbers, got nan"),
        ([1, 0, float("-inf")], r"given\[2\]: expected finite numbers, got -inf"),
        ([1, 1e300, 0], r"given\[2\]: expected finite numbers, got inf"),
    ],
)
def test_a_row_without_a_direction_is_refused_by_number(core, bad, message):
    array = np.array([[1, 2, 3], [4, 5, 6], bad, [0, 0, 0]])
    with pytest.raises(ArgumentValueError, match=message):
        core.as_unit_rows(array, 3, argument="given")


def test_a_refused_batch_is_not_changed(core):
    array = np.array([[3, 4], [0, 0]], np.float32)
    with pytest.raises(ArgumentValueError):
        core.as_unit_rows(array, 2, in_place=True)
    assert array.tolist() == [[3, 4], [0, 0]]


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([[1, 2]], DimensionMismatchError, "vectors: expected dimension 3, got 2"),
        ([1, 2, 3, 4], DimensionMismatchError, "vectors: expected dimension 3, got 4"),
        ([[1, 2, 3], [1, 2]], DimensionMismatchError, r"vectors\[1\]: expected dimension 3, got 2"),
        ([[1, 2, 3], 5], ArgumentValueError, r"vectors\[1\]: expected a vector of 3 numbers, got 5"),
        (np.ones((1, 1, 3)), ArgumentValueError, r"shape \(n, 3\), got \(1, 1, 3\)"),
        (None, ArgumentValueError, "real numbers"),
        (["a", "b", "c"], ArgumentValueError, "real numbers"),
        ([[1j, 2, 3]], ArgumentValueError, "real numbers"),
        ([[True, False, True]], ArgumentValueError, "real numbers"),
    ],
)
def test_what_is_not_rows_is_refused(core, array, error, message):
    with pytest.raises(error, match=message):
        core.as_unit_rows(array, 3)


@given(batches)
def test_codes_give_the_numbers_back_to_within_half_a_step(core, batch):
    rows = _twin.as_unit_rows(batch[np.abs(batch).max(axis=1) > 0], batch.shape[1])
    codes, scales = core.quantize_int8(rows)
    assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
    assert (codes.shape, scales.shape) == (rows.shape, rows.shape[:1])
    assert np.abs(codes).max(axis=1, initial=0).tolist() == [127] * len(rows)
    errors = np.abs(codes * scales[:, None].astype(np.float64) - rows)
    assert (errors <= scales[:, None] * 0.5001).all()
    expected_codes, expected_scales = _twin.quantize_int8(rows)
    assert np.array_equal(codes, expected_codes)
    assert np.array_equal(scales, expected_scales)


def test_numbers_too_small_for_a_scale_stay_in_range(core):
    tiny = np.full((1, 4), 190e-45, np.float32)
    codes, _ = core.quantize_int8(tiny)
    assert np.array_equal(codes, _twin.quantize_int8(tiny)[0])
    assert codes.min() >= 0


def test_only_float32_rows_are_quantised(core):
    with pytest.raises(ArgumentTypeError, match="rows: expected a NumPy array"):
        core.quantize_int8([[1.0]])
    for array in (np.ones((2, 2)), np.ones(3, np.float32), np.ones((4, 4), np.float32)[:, ::2]):
        with pytest.raises(ArgumentValueError, match="C-contiguous float32"):
            core.quantize_int8(array)
    with pytest.raises(ArgumentValueError, match=r"rows\[1\]: expected finite numbers"):
        core.quantize_int8(np.array([[1], [np.nan]], np.float32))
