"""Weights of a BERT encoder become the folder that `OnnxEmbedder` runs from.

A run takes texts of equal token count only: no position is padding, so a graph
needs no attention mask, and a text's vector has the same bits in every batch.
"""

from pathlib import Path
from shutil import copyfile
from typing import Literal

from medha_core.embeddings.bert import BertShape, Encoder, Tensors
from medha_core.embeddings.bert_int8 import ChannelPeaks, Int8Encoder
from medha_core.embeddings.checkpoint import Checkpoint, opened_weights
from medha_core.embeddings.folder import RECIPE, sha256, write_manifest
from medha_core.embeddings.graph import Graph
from medha_core.embeddings.models import Model

Variant = Literal["int8", "float32"]


def convert_known(model: Model, raw: Path, into: Path) -> None:
    """Convert the checked files of a known model."""
    shape = BertShape(heads=model.heads, layers=model.layers)
    checkpoint = Checkpoint(model.name, raw, shape, model.max_tokens)
    convert(checkpoint, into, peaks=ChannelPeaks.load(model.peaks))


def convert(checkpoint: Checkpoint, into: Path, *, peaks: ChannelPeaks | None = None) -> None:
    """Write both variants, the tokenizer and the manifest into the empty folder `into`."""
    with opened_weights(checkpoint.weights) as tensors:
        for variant in ("int8", "float32"):
            width = write_graph(into / f"{variant}.onnx", tensors, checkpoint.shape, variant, peaks=peaks)
    copyfile(checkpoint.tokenizer, into / "tokenizer.json")
    write_manifest(
        into,
        name=checkpoint.name,
        dimension=width,
        max_tokens=checkpoint.max_tokens,
        pooling=checkpoint.shape.pooling,
        weights_sha256=sha256(checkpoint.weights),
        recipe=RECIPE,
    )


def write_graph(
    path: Path, tensors: Tensors, shape: BertShape, variant: Variant, *, peaks: ChannelPeaks | None = None
) -> int:
    """Write the graph to `path` (.onnx) and its weights beside it (.data); returns the vectors' width.

    `tensors(name)` gives the weight of that name, in the layout of BERT
    checkpoints. The graph maps int32 `input_ids` (texts, tokens) to float32
    `vectors` (texts, width) of length 1. Without `peaks` an int8 graph is built
    without smoothing.
    """
    data_path = path.with_suffix(".data")
    with data_path.open("wb") as data:
        graph = Graph(data, data_path.name)
        if variant == "int8":
            encoder: Encoder = Int8Encoder(graph, tensors, shape, peaks)
        else:
            encoder = Encoder(graph, tensors, shape)
        graph.rename(encoder.pooled(encoder.encoded()), "vectors")
    graph.save(path, {"input_ids": ["texts", "tokens"]}, {"vectors": ["texts", encoder.width]})
    return encoder.width
