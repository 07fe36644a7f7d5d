"""Runs a model: token ids of texts of equal length in, unit vectors out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from medha_core.errors import ConfigurationError, EmbeddingError

try:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as _state
    from tokenizers import Tokenizer
except ImportError as error:
    raise ConfigurationError(
        "OnnxEmbedder needs onnxruntime and tokenizers: pip install 'medha-core[onnx]'"
    ) from error

# onnxruntime's exceptions have no base class of their own.
_RUNTIME_ERRORS = (
    *(kind for kind in vars(_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)


class Session:
    """A graph of our own conversion; `run` may be called from several threads at once."""

    batch_tokens = 192  # of a run; beyond about 250 the activations leave the second-level cache

    def __init__(self, path: Path):
        self._session = open_session(path)

    def run(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Token ids (texts, tokens), all of one length, to float32 vectors (texts, dimension)."""
        with typed_errors():
            return self._session.run(None, {"input_ids": np.array(ids, np.int32)})[0]


class ForeignSession:
    """Any ONNX export of a sentence encoder: token vectors or text vectors out.

    Runs one text at a time, because in such a graph a text's vector may depend
    on the other texts of its batch.
    """

    batch_tokens = 1

    def __init__(self, path: Path, pooling: str):
        self._session = open_session(path)
        self._pooling = pooling
        self._types = {
            argument.name: np.int32 if argument.type == "tensor(int32)" else np.int64
            for argument in self._session.get_inputs()
        }
        unknown = set(self._types) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._types:
            raise ConfigurationError(f"{path}: cannot feed the inputs {sorted(self._types)}")

    def run(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """As `Session.run`."""
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {name: np.array(values[name], dtype) for name, dtype in self._types.items()}
        with typed_errors():
            vectors = np.asarray(self._session.run(None, feeds)[0], np.float32)
        if vectors.ndim == 3:
            vectors = vectors[:, 0] if self._pooling == "cls" else vectors.mean(axis=1)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_session(path: Path) -> "onnxruntime.InferenceSession":
    """A session for the graph at `path`, which runs on the calling thread."""
    options = onnxruntime.SessionOptions()
    # Higher levels fuse Add and LayerNormalization into an operator that is several times slower.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    with typed_errors(f"{path} cannot be loaded"):
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_tokenizer(path: Path, max_tokens: int) -> "Tokenizer":
    """A tokenizer that pads nothing and cuts texts at `max_tokens`."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise EmbeddingError(f"{path} cannot be loaded: {error}") from error
    # Files often ask for padding to a fixed length, which would cost every short text that many tokens.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


@contextmanager
def typed_errors(what: str = "the model could not run") -> Iterator[None]:
    """Turn what onnxruntime raises into `EmbeddingError`."""
    try:
        yield
    except _RUNTIME_ERRORS as error:
        raise EmbeddingError(f"{what}: {error}") from error
