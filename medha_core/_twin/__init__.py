"""Plain Python twins of everything in `medha_core._core`: the same names, methods and answers.

They are for reading and for testing (`MEDHA_NO_EXTENSION=1`); the compiled part is held equal to
them, and nothing falls back to them silently.
"""

from medha_core._twin.index import (
    VectorIndex,
    bit_radius,
    set_simd_variant,
    simd_variant,
    simd_variants,
)
from medha_core._twin.lru import LRUCache
from medha_core._twin.text import hash_parts, normalize, question_key
from medha_core._twin.vectors import as_unit_rows, quantize_int8

__all__ = [
    "LRUCache",
    "VectorIndex",
    "as_unit_rows",
    "bit_radius",
    "hash_parts",
    "normalize",
    "quantize_int8",
    "question_key",
    "set_simd_variant",
    "simd_variant",
    "simd_variants",
]
