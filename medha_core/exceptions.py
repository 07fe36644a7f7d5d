"""The errors that the Medha library has, under the path the Medha library gives them."""

from medha_core.errors import (
    ConfigurationError,
    EmbeddingError,
    MedhaError,
    ParameterExtractionError,
    StorageError,
    StorageInitializationError,
    TemplateError,
)

__all__ = [
    "ConfigurationError",
    "EmbeddingError",
    "MedhaError",
    "ParameterExtractionError",
    "StorageError",
    "StorageInitializationError",
    "TemplateError",
]
