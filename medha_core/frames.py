"""Entries as rows of a `pandas.DataFrame`, and back. pandas is imported when it is used."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError
from medha_core.types import CacheResult

__all__ = ["frame_of", "items_of"]

_KEPT = (
    "created_at",
    "expires_at",
    "usage_count",
    "feedback_correct",
    "feedback_incorrect",
    "model",
    "vector",
)
"""Columns that an export adds and that are read back under the same names."""


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ConfigurationError('data frames need pandas: pip install "medha-core[pandas]"') from error


def frame_of(rows: Iterable[CacheResult], *, model: str | None = None) -> Any:
    """A data frame with one row an entry, in the order of `rows`.

    Columns are those of `CacheResult`, and `question`, the same as
    `original_question`, which is what `items_of` reads. With `model`, the
    embedder's fingerprint, there are also `model` and `vector` (float32 arrays).
    """
    left_out = {"score"} if model is not None else {"score", "vector"}
    columns = ["question", *(name for name in CacheResult.model_fields if name not in left_out)]
    columns += ["model"] * (model is not None)
    values = {name: list[Any]() for name in columns}
    for row in rows:
        for name in columns:
            given = {"question": row.original_question, "model": model}
            values[name].append(given[name] if name in given else getattr(row, name))
    return _pandas().DataFrame(values, columns=columns)


def items_of(
    df: Any,
    columns: Mapping[str, str],
    template_col: str | None = None,
    metadata_cols: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """The entries in a data frame's rows, as `check_pair` reads them.

    Args:
        columns: the column of `question`, `generated_query` (both must be there) and `response_summary`.
        template_col, metadata_cols: see `Medha.warm_from_dataframe`.
    """
    pandas = _pandas()
    if not isinstance(df, pandas.DataFrame):
        raise ArgumentTypeError("df", "a pandas.DataFrame", df)
    if isinstance(metadata_cols, str):
        raise ArgumentTypeError("metadata_cols", "a list of column names", metadata_cols)
    needed = [columns["question"], columns["generated_query"], *(metadata_cols or [])]
    needed += [template_col] * (template_col is not None)
    for name in needed:
        if name not in df.columns:
            raise ArgumentValueError("df", f"a column {name!r}", list(df.columns))
    wanted = {**columns, "template_id": template_col or "template_id"} | {name: name for name in _KEPT}
    if metadata_cols is None:
        wanted["metadata"] = "metadata"
    present = {key: df[name].tolist() for key, name in wanted.items() if name in df.columns}
    metadata = {name: df[name].tolist() for name in metadata_cols or []}
    return [
        _item({key: cells[row] for key, cells in present.items()}, metadata, row, pandas)
        for row in range(len(df))
    ]


def _item(
    cells: dict[str, Any], metadata: Mapping[str, Sequence[Any]], row: int, pandas: Any
) -> dict[str, Any]:
    """One entry. A question or a query is kept even when it is empty, to be refused by name."""
    item = {
        key: value
        for key, value in cells.items()
        if key in ("question", "generated_query", "expires_at") or not _is_empty(value, pandas)
    }
    if "expires_at" in item and _is_empty(item["expires_at"], pandas):
        item["expires_at"] = None
    if metadata:
        item["metadata"] = {
            name: column[row] for name, column in metadata.items() if not _is_empty(column[row], pandas)
        }
    return item


def _is_empty(cell: Any, pandas: Any) -> bool:
    return cell is None or (pandas.api.types.is_scalar(cell) and bool(pandas.isna(cell)))
