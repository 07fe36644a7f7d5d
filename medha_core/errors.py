"""Every error the library raises on purpose.

All derive from `MedhaError`. Errors about an argument also derive from the
built-in a caller would expect (`ValueError`, `TypeError`), so that code which
knows nothing of this library still catches them.
"""

from collections.abc import Sequence

__all__ = [
    "ArgumentTypeError",
    "ArgumentValueError",
    "ConfigurationError",
    "ConflictError",
    "DimensionMismatchError",
    "DirectoryLockedError",
    "EmbeddingError",
    "LabelNotFoundError",
    "MedhaError",
    "MigrationError",
    "ParameterExtractionError",
    "ProvidersFailedError",
    "SnapshotError",
    "StorageError",
    "StorageInitializationError",
    "TemplateError",
    "shown",
]


def shown(value: object, limit: int = 80) -> str:
    """`repr(value)` shortened to `limit` characters, safe for a message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class MedhaError(Exception):
    """Base of all errors of this library."""


class ArgumentValueError(MedhaError, ValueError):
    """An argument has the right type and a value that cannot be used."""

    def __init__(self, argument: str, expected: str, seen: object):
        super().__init__(f"{argument}: expected {expected}, got {shown(seen)}")
        self.argument = argument


class ArgumentTypeError(MedhaError, TypeError):
    """An argument has the wrong type."""

    def __init__(self, argument: str, expected: str, seen: object):
        super().__init__(f"{argument}: expected {expected}, got {type(seen).__name__}")
        self.argument = argument


class ConfigurationError(MedhaError):
    """The settings contradict each other, or a needed extra is not installed."""


class ConflictError(MedhaError, ValueError):
    """A question is stored with another query, and `on_conflict="error"` was asked for."""

    def __init__(self, question: str, stored: str, given: str):
        super().__init__(
            f"question {shown(question)}: stored with the query {shown(stored)}, so {shown(given)} is refused"
        )


class EmbeddingError(MedhaError):
    """A text could not be turned into a vector."""


class ProvidersFailedError(EmbeddingError, RuntimeError):
    """Every embedder of a chain failed; `reasons` has what each said."""

    def __init__(self, reasons: Sequence[str]):
        super().__init__(
            "All embedding providers failed. Cannot compute embeddings: install local model "
            f"(pip install 'medha-core[onnx]') or check backend availability ({'; '.join(reasons)})"
        )
        self.reasons = tuple(reasons)


class StorageError(MedhaError):
    """A store could not do what it was asked."""


class StorageInitializationError(StorageError):
    """A store or a collection could not be opened or created."""


class MigrationError(StorageInitializationError):
    """The tables of a store could not be made or brought up to date."""


class DirectoryLockedError(StorageInitializationError):
    """Another process, or another cache of this one, has a directory open for writing."""


class DimensionMismatchError(StorageError):
    """A vector's length differs from the dimension of what should hold it."""

    def __init__(self, expected: int, seen: int, where: str = "vector"):
        super().__init__(f"{where}: expected dimension {expected}, got {seen}")
        self.expected = expected
        self.seen = seen


class LabelNotFoundError(StorageError, KeyError):
    """A label is not in the index that was asked for it."""

    __str__ = Exception.__str__  # KeyError's shows the message in quotes

    def __init__(self, label: int):
        super().__init__(f"label {label} is not in the index")
        self.label = label


class SnapshotError(StorageError):
    """A snapshot is missing, damaged, of another version or of another model."""


class TemplateError(MedhaError):
    """A query template or a template file cannot be used."""


class ParameterExtractionError(TemplateError):
    """A question does not give a value to each parameter of a template."""
