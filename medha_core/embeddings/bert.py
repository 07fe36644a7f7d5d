"""A BERT encoder as an ONNX graph in float32: token ids in, unit vectors out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medha_core.embeddings.graph import MICROSOFT, Graph

Tensors = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class BertShape:
    """What the weights alone do not tell about a BERT encoder."""

    heads: int
    layers: int
    epsilon: float = 1e-12
    pooling: Literal["mean", "cls"] = "mean"
    prefix: str = ""


class Encoder:
    """The float32 graph. Rows are tokens: activations are (texts * tokens, width) between attentions."""

    def __init__(self, graph: Graph, tensors: Tensors, shape: BertShape):
        self.graph = graph
        self.shape = shape
        self._tensors = tensors
        self.positions, self.width = self.tensor("embeddings.position_embeddings.weight").shape

    def tensor(self, name: str) -> np.ndarray:
        return self._tensors(self.shape.prefix + name).astype(np.float32, copy=False)

    def encoded(self) -> str:
        rows = self.embedded()
        for layer in range(self.shape.layers):
            rows = self.layer(layer, rows)
        return rows

    def layer(self, number: int, rows: str) -> str:
        context = self.attended(number, rows)
        rows = self.normalised(
            f"encoder.layer.{number}.attention.output.LayerNorm", self.graph.node("Add", rows, context)
        )
        expanded = self.expanded(number, rows)
        return self.normalised(
            f"encoder.layer.{number}.output.LayerNorm", self.graph.node("Add", rows, expanded)
        )

    def embedded(self) -> str:
        graph = self.graph
        words = self.looked_up(self.tensor("embeddings.word_embeddings.weight"))
        # Questions are one segment: its vector joins the position table once, here.
        positions = self.tensor("embeddings.position_embeddings.weight")
        positions = positions + self.tensor("embeddings.token_type_embeddings.weight")[0]
        used = graph.node("Slice", graph.weight(positions), self.integers(0), self.length(), self.integers(0))
        rows = graph.node("Reshape", graph.node("Add", words, used), self.integers(-1, self.width))
        return self.normalised("embeddings.LayerNorm", rows)

    def looked_up(self, words: np.ndarray) -> str:
        return self.graph.node("Gather", self.graph.weight(words), "input_ids")

    def attended(self, number: int, rows: str) -> str:
        weight, bias = self.attention_weights(number)
        context = self.heads(self.projected(number, rows, weight), bias)
        output, output_bias = self.output_weights(number)
        return self.biased(self.combined(number, context, output), output_bias)

    def heads(self, joined: str, bias: np.ndarray) -> str:
        """Multi-head attention over rows (texts * tokens, 3 * width)."""
        graph = self.graph
        shape = graph.node("Concat", graph.node("Shape", "input_ids"), self.integers(3 * self.width), axis=0)
        parts = graph.node("Split", graph.node("Reshape", joined, shape), outputs=3, axis=-1, num_outputs=3)
        context = graph.node(
            "MultiHeadAttention", *parts, graph.weight(bias), domain=MICROSOFT, num_heads=self.shape.heads
        )
        return graph.node("Reshape", context, self.integers(-1, self.width))

    def attention_weights(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Query, key and value as one (3 * width, width) matrix, and their bias."""
        names = [f"encoder.layer.{number}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.tensor(f"{name}.weight") for name in names])
        return weight, np.concatenate([self.tensor(f"{name}.bias") for name in names])

    def output_weights(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self.dense(f"encoder.layer.{number}.attention.output.dense")

    def expanded(self, number: int, rows: str) -> str:
        weight, bias = self.dense(f"encoder.layer.{number}.intermediate.dense")
        rows = self.graph.node("Gelu", self.biased(self.widened(number, rows, weight), bias))
        weight, bias = self.dense(f"encoder.layer.{number}.output.dense")
        return self.biased(self.narrowed(rows, weight), bias)

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias")

    # The four places where a variant may treat the product's input in its own way.
    def projected(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(rows, weight)

    def combined(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(rows, weight)

    def widened(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(rows, weight)

    def narrowed(self, rows: str, weight: np.ndarray) -> str:
        return self.linear(rows, weight)

    def linear(self, rows: str, weight: np.ndarray) -> str:
        return self.graph.node("MatMul", rows, self.graph.weight(weight.T))

    def biased(self, rows: str, bias: np.ndarray) -> str:
        return self.graph.node("Add", rows, self.graph.weight(bias))

    def normalised(self, name: str, rows: str) -> str:
        scale, bias = self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias")
        inputs = (rows, self.graph.weight(scale), self.graph.weight(bias))
        return self.graph.node("LayerNormalization", *inputs, axis=-1, epsilon=self.shape.epsilon)

    def pooled(self, rows: str) -> str:
        """One row per text: the sum over its tokens or its first token, scaled to length 1."""
        graph = self.graph
        shape = graph.node("Concat", graph.node("Shape", "input_ids"), self.integers(self.width), axis=0)
        tokens = graph.node("Reshape", rows, shape)
        if self.shape.pooling == "mean":
            # ReduceSum adds in another order when there are several texts; a product of ones does not.
            ones = graph.weight(np.ones((1, self.positions), np.float32))
            ends = (self.integers(0), self.length(), self.integers(1))
            text = graph.node("MatMul", graph.node("Slice", ones, *ends), tokens)
            text = graph.node("Squeeze", text, self.integers(1))
        else:
            text = graph.node("Gather", tokens, graph.weight(np.int64(0)), axis=1)
        return graph.node("LpNormalization", text, axis=-1, p=2)

    def length(self) -> str:
        """The token count, the same for every text of a run."""
        return self.graph.node("Shape", "input_ids", start=1, end=2)

    def integers(self, *values: int) -> str:
        return self.graph.weight(np.array(values, np.int64))
