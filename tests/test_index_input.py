"""What the vector index, native and twin, refuses, and what it says of itself."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from medha_core.errors import ArgumentTypeError, ArgumentValueError, DimensionMismatchError, MedhaError


@pytest.fixture
def make(core: ModuleType) -> Callable[..., Any]:
    return core.VectorIndex


def labels_of(found: tuple[np.ndarray, np.ndarray]) -> list[int]:
    return found[0].tolist()


@pytest.mark.parametrize("bad", [0, -1, 65536])
def test_dimension_out_of_range(make, bad):
    with pytest.raises(ArgumentValueError, match="dimension"):
        make(bad)


@pytest.mark.parametrize(
    "arguments",
    [{"quantization": "int4"}, {"tier": "disk"}, {"M": 1}, {"capacity": 0}, {"ef_construction": 0}],
)
def test_unknown_settings(make, arguments):
    with pytest.raises(ArgumentValueError, match=next(iter(arguments))):
        make(4, **arguments)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_vectors_without_direction_are_refused_with_their_row(make, bad):
    index = make(4)
    rows = np.ones((3, 4), np.float32)
    rows[2] = bad
    with pytest.raises(ArgumentValueError, match=r"vectors\[2\]"):
        index.add([1, 2, 3], rows)
    assert len(index) == 0
    with pytest.raises(ArgumentValueError, match="vector"):
        index.search(rows[2], 1)
    with pytest.raises(ArgumentValueError, match=r"vectors\[2\]"):
        index.search_many(rows, 1)


def test_numbers_at_the_ends_of_float32_are_kept(make):
    index = make(16)
    index.add([1, 2], np.float32([[1e38] * 16, [1e-38] * 15 + [-1e-38]]))
    assert labels_of(index.search(np.full(16, 1e-40, np.float32), 1)) == [1]
    assert index.search(np.full(16, 3e38, np.float32), 1)[1][0] == pytest.approx(1, abs=1e-6)


def test_wrong_lengths_are_refused(make):
    index = make(4)
    for call in (
        lambda: index.add(1, np.ones(3)),
        lambda: index.add([1], np.ones((1, 5))),
        lambda: index.search(np.ones(5, np.float32), 1),
        lambda: index.search_many(np.ones((2, 3)), 1),
    ):
        with pytest.raises(DimensionMismatchError, match="expected dimension 4"):
            call()
    with pytest.raises(ArgumentValueError, match="labels"):
        index.add([1, 2], np.ones((1, 4)))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"k": 1, "ef": 0}, "ef"),
        ({"k": 1, "min_score": float("nan")}, "min_score"),
        ({"k": 1, "min_score": float("inf")}, "min_score"),
        ({"k": 1, "allowed": [-1]}, "allowed"),
        ({"k": 1, "allowed": np.ones((2, 2), bool)}, "allowed"),
    ],
)
def test_search_arguments_out_of_range(make, arguments, name):
    with pytest.raises(ArgumentValueError, match=name):
        make(4).search(np.ones(4, np.float32), **arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search(np.ones(4, np.float32), "1"),
        lambda index: index.search(np.ones(4, np.float32), 1.5),
        lambda index: index.search(np.ones(4, np.float32), 1, min_score="high"),
        lambda index: index.add("a", np.ones(4)),
        lambda index: index.add(1.5, np.ones(4)),
        lambda index: index.get("a"),
    ],
)
def test_arguments_of_the_wrong_type(make, call):
    with pytest.raises(ArgumentTypeError):
        call(make(4))


@pytest.mark.parametrize("vector", ["abcd", None, [], [[1, 2, 3, 4]] * 2, [1, 2, 3, 1j]])
def test_what_is_no_vector(make, vector):
    with pytest.raises(ArgumentValueError, match="vector"):
        make(4).search(vector, 1)


def test_choices_may_be_of_a_class_derived_from_str(make):
    index = make(4, quantization=np.str_("binary"), tier=np.str_("scan"))
    assert (type(index.quantization), index.quantization) == (str, "binary")
    assert (type(index.tier), index.tier) == (str, "scan")


@pytest.mark.parametrize("label", [-1, 2**64])
def test_labels_out_of_range(make, label):
    for call in (lambda i: i.add(label, np.ones(4)), lambda i: i.remove(label), lambda i: i.get(label)):
        with pytest.raises(ArgumentValueError):
            call(make(4))


def test_a_label_that_is_not_there(make):
    index = make(4)
    with pytest.raises(KeyError):
        index.get(3)
    with pytest.raises(MedhaError, match=r"^label 3 is not in the index$"):
        index.get(3)


def test_repr_and_info_show_live_state(make):
    index = make(4, tier="graph")
    index.add([1, 2], np.eye(4)[:2])
    assert repr(index) == ("<VectorIndex dimension=4 quantization=int8 tier=graph entries=2 graph=2 scan=0>")
    assert index.memory_usage()["total"] > 0
