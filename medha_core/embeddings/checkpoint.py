"""Reads a sentence-transformers folder with a BERT encoder: what is in it and how it pools."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medha_core.embeddings.bert import BertShape, Tensors
from medha_core.embeddings.folder_config import max_tokens, pooling, read_json
from medha_core.errors import ConfigurationError, EmbeddingError

try:
    from safetensors import SafetensorError, safe_open
except ImportError as error:
    raise ConfigurationError(
        "converting a model needs the package safetensors: pip install 'medha-core[onnx]'"
    ) from error


@dataclass(frozen=True)
class Checkpoint:
    """A folder with model.safetensors and tokenizer.json, and what else is needed to convert it."""

    name: str
    path: Path
    shape: BertShape
    max_tokens: int

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"


def read_checkpoint(path: Path) -> Checkpoint:
    """Check that a folder holds a model that can be converted. Raises `ConfigurationError`."""
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        if not (path / name).is_file():
            raise ConfigurationError(f"{path}: {name} is missing")
    config = read_json(path / "config.json")
    _expect(path, "model_type", config.get("model_type"), "bert")
    _expect(path, "hidden_act", config.get("hidden_act"), "gelu")
    _expect(path, "position_embedding_type", config.get("position_embedding_type", "absolute"), "absolute")
    with opened_weights(path / "model.safetensors") as tensors:
        prefix = _prefix(path, tensors)
    try:
        shape = BertShape(
            heads=int(config["num_attention_heads"]),
            layers=int(config["num_hidden_layers"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            pooling=pooling(path),
            prefix=prefix,
        )
        return Checkpoint(path.name, path, shape, max_tokens(path, int(config["max_position_embeddings"])))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path / 'config.json'} lacks a usable value: {error}") from error


@contextmanager
def opened_weights(file: Path) -> Iterator[Tensors]:
    """A function from a tensor's name to its array. Raises `EmbeddingError` when the file is damaged."""
    try:
        with safe_open(file, "numpy") as tensors:
            yield tensors.get_tensor
    except SafetensorError as error:
        raise EmbeddingError(f"{file} is damaged or lacks a tensor: {error}") from error


def _prefix(path: Path, tensors: Tensors) -> str:
    for prefix in ("", "bert."):
        try:
            tensors(f"{prefix}embeddings.LayerNorm.weight")
        except SafetensorError:
            continue
        return prefix
    raise ConfigurationError(f"{path}: model.safetensors holds no BERT encoder")


def _expect(path: Path, name: str, seen: object, expected: str) -> None:
    if seen != expected:
        raise ConfigurationError(f"{path / 'config.json'}: {name}: expected {expected!r}, got {seen!r}")
