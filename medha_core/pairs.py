"""Pairs of question and query, checked before anything is embedded or stored."""

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.metadata import validate_metadata
from medha_core.settings import Settings
from medha_core.types import MetadataValue

__all__ = ["UNSET", "Pair", "check_pair", "check_question", "check_text", "dumps_vector", "is_blank"]

_COUNTERS = ("usage_count", "feedback_correct", "feedback_incorrect")
_KEPT = frozenset([*_COUNTERS, "created_at", "expires_at", "vector"])


class _Unset:
    """The default of `ttl`: `Settings.default_ttl_seconds` decides. None means for ever."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


class Pair(NamedTuple):
    """A checked question and query, ready to be embedded and stored.

    What stands after the metadata is new for a new pair, and is given for one that comes from an export.
    """

    question: str
    query: str
    summary: str | None = None
    template_id: str | None = None
    metadata: Mapping[str, MetadataValue] = {}
    created_at: datetime | None = None
    expires_at: datetime | None = UNSET
    """UNSET where the pair does not say."""
    usage_count: int = 1
    feedback_correct: int = 0
    feedback_incorrect: int = 0
    vector: np.ndarray | None = None
    """float32[dimension], of this very embedder."""


def is_blank(text: object) -> bool:
    """Whether this is text with nothing in it."""
    return isinstance(text, str) and not text.strip()


def check_question(question: object, settings: Settings, label: str = "question") -> str:
    """The question itself. Raises a typed error for what cannot be asked or stored."""
    if not isinstance(question, str):
        raise ArgumentTypeError(label, "str", question)
    if not question.strip():
        raise ArgumentValueError(label, "text that is not empty", question)
    if len(question) > settings.max_question_length:
        raise ArgumentValueError(
            label, f"at most max_question_length ({settings.max_question_length}) characters", len(question)
        )
    return check_text(question, label)


def check_text(text: object, label: str) -> str:
    """`text`, if it is text that can be stored and hashed."""
    if not isinstance(text, str):
        raise ArgumentTypeError(label, "str", text)
    if "\x00" in text:
        raise ArgumentValueError(label, "text without NUL characters", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentValueError(label, "text without lone surrogates", text) from None
    return text


def check_pair(
    item: Mapping[str, Any], settings: Settings, label: str = "", *, model: str | None = None
) -> Pair:
    """The pair in a mapping with question, generated_query and optional fields.

    Args:
        label: stands before the name of a field that is at fault.
        model: fingerprint of the embedder. The item's `vector` is taken where its
            `model` is the same, and otherwise computed anew.
    """
    if not isinstance(item, Mapping):
        raise ArgumentTypeError(label or "entry", "a mapping with question and generated_query", item)
    prefix = f"{label}." if label else ""
    for key in ("question", "generated_query"):
        if key not in item:
            raise ArgumentValueError(label or "entry", f"a key {key!r}", sorted(map(str, item)))
    query = check_text(item["generated_query"], f"{prefix}generated_query")
    if not query.strip():
        raise ArgumentValueError(f"{prefix}generated_query", "text that is not empty", query)
    return Pair(
        check_question(item["question"], settings, f"{prefix}question"),
        query,
        _optional(item.get("response_summary"), f"{prefix}response_summary"),
        _optional(item.get("template_id"), f"{prefix}template_id"),
        validate_metadata(item.get("metadata"), label=f"{prefix}metadata"),
        **_kept(item, prefix, model),
    )


def _optional(text: object, label: str) -> str | None:
    return None if text is None else check_text(text, label)


def _kept(item: Mapping[str, Any], prefix: str, model: str | None) -> dict[str, Any]:
    """What an export has said of an entry."""
    if _KEPT.isdisjoint(item):  # a new pair
        return {}
    kept: dict[str, Any] = {
        key: _moment(item[key], f"{prefix}{key}") for key in ("created_at", "expires_at") if key in item
    }
    for key in _COUNTERS:
        if item.get(key) is not None:
            kept[key] = _count(item[key], f"{prefix}{key}")
    if item.get("vector") is not None and model is not None and item.get("model") == model:
        kept["vector"] = _vector(item["vector"], f"{prefix}vector")
    return kept


def _moment(value: object, label: str) -> datetime | None:
    """A time in UTC; one without a zone is taken to be in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ArgumentValueError(label, "a time as in 2026-01-31T12:00:00+00:00", value) from None
    if not isinstance(value, datetime):
        raise ArgumentTypeError(label, "a datetime or ISO 8601 text", value)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _count(value: object, label: str) -> int:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not is_whole:
        raise ArgumentTypeError(label, "int", value)
    if not 0 <= value < 2**53:
        raise ArgumentValueError(label, "a count of at least 0", value)
    return int(value)


def _vector(value: Any, label: str) -> np.ndarray:
    """A vector given as numbers, or as base64 of little-endian float32."""
    try:
        if isinstance(value, str):
            vector = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        else:
            vector = np.asarray(value, dtype=np.float32)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ArgumentValueError(label, "numbers, or base64 of little-endian float32", value) from error
    square = float(vector @ vector) if vector.ndim == 1 else 0.0
    if not (math.isfinite(square) and square > 0):
        raise ArgumentValueError(label, "one row of finite numbers that are not all zero", value)
    return vector


def dumps_vector(vector: Any) -> str:
    """The text that `check_pair` reads a vector from, without loss."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode("ascii")
