"""The native core, or its Python twin when `MEDHA_NO_EXTENSION=1`. Import the core's names from here."""

import os
from typing import TYPE_CHECKING

__all__ = [
    "LRUCache",
    "VectorIndex",
    "as_unit_rows",
    "extension_loaded",
    "bit_radius",
    "hash_parts",
    "normalize",
    "quantize_int8",
    "question_key",
    "set_simd_variant",
    "simd_variant",
    "simd_variants",
]

extension_loaded = os.environ.get("MEDHA_NO_EXTENSION") != "1"
"""Whether the names here are the compiled ones."""

if TYPE_CHECKING or not extension_loaded:
    from medha_core._twin import (
        LRUCache,
        VectorIndex,
        as_unit_rows,
        bit_radius,
        hash_parts,
        normalize,
        quantize_int8,
        question_key,
        set_simd_variant,
        simd_variant,
        simd_variants,
    )
else:
    try:
        from medha_core._core import (
            LRUCache,
            VectorIndex,
            as_unit_rows,
            bit_radius,
            hash_parts,
            normalize,
            quantize_int8,
            question_key,
            set_simd_variant,
            simd_variant,
            simd_variants,
        )
    except ImportError as error:
        raise ImportError(
            f"medha_core._core, the compiled part of medha_core, cannot be imported ({error}): build it with "
            "`pip install .`, or set MEDHA_NO_EXTENSION=1 to run on the slow Python twins."
        ) from error
