"""Metadata of entries and filters on it: flat, exact, and the same on every store.

A filter is a conjunction of exact equalities. A missing key is a mismatch,
never a wildcard; keys the filter does not name are ignored; `True` is not `1`,
while `10` equals `10.0`.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from hashlib import md5
from typing import Any, Protocol, TypeVar

from medha_core.errors import ArgumentValueError
from medha_core.types import MetadataValue

__all__ = [
    "MAX_FILTER_FETCH",
    "MAX_KEYS",
    "MAX_KEY_LENGTH",
    "MAX_VALUE_LENGTH",
    "canonical_json",
    "dumps_metadata",
    "filter_fetch_size",
    "filter_value",
    "loads_metadata",
    "metadata_fingerprint",
    "metadata_matches",
    "split_filters",
    "validate_metadata",
    "verify_filters",
]

MAX_FILTER_FETCH = 1000
"""Rows fetched at most by a store that filters after its search."""

MAX_KEYS = 32
MAX_KEY_LENGTH = 64
MAX_VALUE_LENGTH = 256
_KEY = re.compile(rf"[A-Za-z_][A-Za-z0-9_.\-]{{0,{MAX_KEY_LENGTH - 1}}}")


def validate_metadata(metadata: Any, *, label: str = "metadata") -> dict[str, MetadataValue]:
    """A checked copy of `metadata`; None gives an empty dict. Raises `ValueError` naming the key."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise ArgumentValueError(label, "a flat mapping of str, int, float or bool", metadata)
    if len(metadata) > MAX_KEYS:
        raise ArgumentValueError(label, f"at most {MAX_KEYS} keys", len(metadata))
    for key, value in metadata.items():
        _check_key(key, label)
        _check_value(value, f"{label}[{key!r}]")
    return dict(metadata)


def _check_key(key: Any, label: str) -> None:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ArgumentValueError(
            f"{label} key", f"letters, digits, '_', '.', '-' (at most {MAX_KEY_LENGTH})", key
        )


def _check_value(value: Any, label: str) -> None:
    if not isinstance(value, (str, int, float)):
        raise ArgumentValueError(label, "str, int, float or bool", value)
    if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
        raise ArgumentValueError(label, f"at most {MAX_VALUE_LENGTH} characters", len(value))
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ArgumentValueError(label, "text without lone surrogates", value) from None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ArgumentValueError(label, "an integer of 64 bits", f"one of {value.bit_length()}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentValueError(label, "a finite number", value)


def _canonical_value(value: MetadataValue) -> MetadataValue:
    """Equal values get one spelling: 10.0 becomes 10; True stays apart from 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_json(metadata: Mapping[str, MetadataValue]) -> str:
    """One text for all mappings that are equal as filters: sorted keys, no spaces."""
    plain = {key: _canonical_value(value) for key, value in metadata.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def filter_value(value: MetadataValue) -> str:
    """One text for equal values of a key: 10.0 is 10, True is not 1."""
    return json.dumps(_canonical_value(value), ensure_ascii=False)


def metadata_fingerprint(metadata: Mapping[str, MetadataValue] | None) -> str:
    """MD5 of `canonical_json` in hexadecimal, or "" when there is no metadata."""
    if not metadata:
        return ""
    return md5(canonical_json(metadata).encode(), usedforsecurity=False).hexdigest()


def dumps_metadata(metadata: Mapping[str, MetadataValue] | None) -> str:
    """`canonical_json`, or "" when there is no metadata."""
    return canonical_json(metadata) if metadata else ""


def loads_metadata(text: str | None) -> dict[str, MetadataValue]:
    """The mapping `dumps_metadata` wrote; anything unreadable gives an empty dict."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def metadata_matches(
    metadata: Mapping[str, MetadataValue] | None, filters: Mapping[str, MetadataValue] | None
) -> bool:
    """Whether every key of `filters` has an equal value in `metadata`."""
    if not filters:
        return True
    metadata = metadata or {}
    return all(key in metadata and _equal(metadata[key], value) for key, value in filters.items())


def _equal(left: MetadataValue, right: MetadataValue) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> Mapping[str, MetadataValue]: ...


Found = TypeVar("Found", bound=_HasMetadata)


def split_filters(
    filters: Mapping[str, MetadataValue] | None, pushable: tuple[type, ...] = (str,)
) -> tuple[dict[str, MetadataValue], dict[str, MetadataValue]]:
    """The filters an engine can apply by itself, and those left to `verify_filters`.

    `pushable` are the types of value whose equality the engine decides as we do;
    bool is not taken for int.
    """
    pushed = {key: value for key, value in (filters or {}).items() if type(value) in pushable}
    return pushed, {key: value for key, value in (filters or {}).items() if key not in pushed}


def filter_fetch_size(
    limit: int, residual: Mapping[str, MetadataValue] | None, overfetch: int, *, always: bool = False
) -> int:
    """How many rows to ask an engine for, so that `limit` are left after filtering.

    With nothing left to filter that is `limit`, unless `always`.
    """
    return min(limit * overfetch, max(limit, MAX_FILTER_FETCH)) if residual or always else limit


def verify_filters(
    results: Iterable[Found], filters: Mapping[str, MetadataValue] | None, limit: int | None = None
) -> list[Found]:
    """The results whose metadata equals `filters`, in their order, at most `limit` of them."""
    return [found for found in results if metadata_matches(found.metadata, filters)][:limit]
