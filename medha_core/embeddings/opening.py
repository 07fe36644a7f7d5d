"""Finds the files of the model an `OnnxEmbedder` was asked for, and loads them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medha_core.embeddings import models
from medha_core.embeddings.folder import MANIFEST, ModelFolder, new_folder, open_folder, sha256
from medha_core.embeddings.sources import OnProgress
from medha_core.errors import ArgumentTypeError, ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from medha_core.embeddings.session import ForeignSession, Session

_READY_MAX_TOKENS = 512


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run."""

    name: str
    variant: str
    dimension: int
    max_tokens: int
    fingerprint: str
    session: "Session | ForeignSession"
    tokenizer: "Tokenizer"


def open_model(
    model: str | os.PathLike[str],
    variant: str,
    model_dir: str | os.PathLike[str] | None,
    progress: OnProgress | None,
) -> LoadedModel:
    """Load a known model by its name, or whatever the given folder or .onnx file holds."""
    if not isinstance(model, (str, os.PathLike)):
        raise ArgumentTypeError("model", "a model's name or a path", model)
    # Imported here: naming the embedder must not load onnxruntime.
    from medha_core.embeddings import session  # noqa: F401

    # model_dir given, or model is no known name -> that path; else the models' folder
    if model_dir is not None:
        return _from_path(Path(model_dir), variant)
    if model in models.KNOWN:
        return _load(models.installed(str(model), progress=progress), variant)
    if Path(model).exists():
        return _from_path(Path(model), variant)
    raise ConfigurationError(
        f"model {str(model)!r} is neither a known model ({', '.join(models.KNOWN)}) nor a path"
    )


def _from_path(path: Path, variant: str) -> LoadedModel:
    # an .onnx file -> run as it is
    # a folder with our manifest -> converted before
    # a folder with model.safetensors -> converted into the models' folder, once
    # a folder with one .onnx file -> run as it is
    if path.is_file() and path.suffix == ".onnx":
        return _load_ready(path)
    if (path / MANIFEST).is_file():
        return _load(open_folder(path), variant)
    if (path / "model.safetensors").is_file():
        return _load(_converted(path), variant)
    graphs = sorted(path.glob("*.onnx")) or sorted(path.glob("onnx/model.onnx"))
    if len(graphs) == 1:
        return _load_ready(graphs[0])
    raise ConfigurationError(
        f"{path}: expected model.safetensors or one .onnx file, got {len(graphs)} .onnx files"
    )


def _load(folder: ModelFolder, variant: str) -> LoadedModel:
    from medha_core.embeddings.session import Session, open_tokenizer

    return LoadedModel(
        name=folder.name,
        variant=variant,
        dimension=folder.dimension,
        max_tokens=folder.max_tokens,
        fingerprint=folder.fingerprint(variant),
        session=Session(folder.path / f"{variant}.onnx"),
        tokenizer=open_tokenizer(folder.path / "tokenizer.json", folder.max_tokens),
    )


def _load_ready(graph: Path) -> LoadedModel:
    from medha_core.embeddings.folder_config import max_tokens, pooling
    from medha_core.embeddings.session import ForeignSession, open_tokenizer

    folder = graph.parent if (graph.parent / "tokenizer.json").is_file() else graph.parent.parent
    if not (folder / "tokenizer.json").is_file():
        raise ConfigurationError(f"{graph.parent}: tokenizer.json is missing")
    kind, length = pooling(folder), max_tokens(folder, _READY_MAX_TOKENS)
    session, tokenizer = ForeignSession(graph, kind), open_tokenizer(folder / "tokenizer.json", length)
    dimension = session.run([tokenizer.encode("probe").ids]).shape[1]
    fingerprint = f"{graph.name}/{sha256(graph)[:16]}/{dimension}/{kind}/unit"
    return LoadedModel(graph.parent.name, "onnx", dimension, length, fingerprint, session, tokenizer)


def _converted(path: Path) -> ModelFolder:
    """The conversion of a sentence-transformers folder, kept under the sum of its files."""
    from medha_core.embeddings.checkpoint import read_checkpoint
    from medha_core.embeddings.convert import convert, convert_known

    checkpoint = read_checkpoint(path)
    weights = sha256(checkpoint.weights)
    target = models.versioned(f"local-{_sum_of(path, weights)}")
    if not target.is_dir():
        known = next((model for model in models.KNOWN.values() if model.weights.sha256 == weights), None)
        with new_folder(target) as staging:
            if known is None:
                convert(checkpoint, staging)
            else:
                convert_known(known, path, staging)
    return open_folder(target)


def _sum_of(path: Path, weights: str) -> str:
    digest = hashlib.sha256(weights.encode())
    for name in (
        "tokenizer.json",
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    ):
        file = path / name
        digest.update(file.read_bytes() if file.is_file() else b"")
    return f"{path.name}-{digest.hexdigest()[:16]}"
