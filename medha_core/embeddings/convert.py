"""A folder with BERT weights becomes an ONNX graph that onnxruntime runs.

A run takes texts of equal token count only: no position is padding, so a graph
needs no attention mask, and a text's vector has the same bits in every batch.
"""

from pathlib import Path
from typing import Literal

from medha_core.embeddings.bert import BertShape, Encoder, Tensors
from medha_core.embeddings.bert_int8 import ChannelPeaks, Int8Encoder
from medha_core.embeddings.graph import Graph

Variant = Literal["int8", "float32"]

RECIPE = 2  # part of fingerprints and folder names: raise it when the numbers that a graph computes change


def write_graph(
    path: Path, tensors: Tensors, shape: BertShape, variant: Variant, *, peaks: ChannelPeaks | None = None
) -> None:
    """Write the graph to `path` (.onnx) and its weights beside it (.data).

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
