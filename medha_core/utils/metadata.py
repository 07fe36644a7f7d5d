"""The helpers for metadata, under the path the Medha library gives them."""

from medha_core.metadata import (
    MAX_FILTER_FETCH,
    MAX_KEY_LENGTH,
    MAX_KEYS,
    MAX_VALUE_LENGTH,
    canonical_json,
    dumps_metadata,
    filter_fetch_size,
    loads_metadata,
    metadata_fingerprint,
    metadata_matches,
    split_filters,
    validate_metadata,
    verify_filters,
)

__all__ = [
    "MAX_FILTER_FETCH",
    "MAX_KEY_LENGTH",
    "MAX_KEYS",
    "MAX_VALUE_LENGTH",
    "canonical_json",
    "dumps_metadata",
    "filter_fetch_size",
    "loads_metadata",
    "metadata_fingerprint",
    "metadata_matches",
    "split_filters",
    "validate_metadata",
    "verify_filters",
]
