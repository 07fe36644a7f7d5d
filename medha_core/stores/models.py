"""Documents, their chunks, and what a search returns."""

from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

__all__ = ["Chunk", "Document", "EmbeddedChunk", "RetrievalResult"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Document(_Model):
    """A text as it was read."""

    id: str
    content: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    source: str | None = None
    """Where it came from: a path, a URL."""


class Chunk(_Model):
    """A piece of a document."""

    id: str
    document_id: str
    content: str
    position: int
    """Its place among the document's chunks, from 0."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Any JSON; text, numbers and truth values at its first level can be filtered by."""
    content_hash: str = ""
    """SHA-256 of the content in hexadecimal; computed where it is not given."""

    @model_validator(mode="after")
    def _hashed(self) -> "Chunk":
        if not self.content_hash:
            self.content_hash = sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()
        return self

    @staticmethod
    def make_id(document_id: str, position: int) -> str:
        """The customary id of a document's chunk: `document:position`."""
        return f"{document_id}:{position}"


class EmbeddedChunk(_Model):
    """A chunk with its vector."""

    chunk: Chunk
    embedding: Annotated[list[float], SkipValidation]
    """Checked by the store, which knows the dimension; a float32 array is accepted too."""
    embedding_model: str
    dimensions: int


class RetrievalResult(_Model):
    """A chunk that a search found."""

    chunk: Chunk
    score: float
    """Cosine similarity, -1..1."""
    retriever: str
