"""The same encoder with 8-bit matrix products, for two to three times the speed.

Each token's activations have their own scale, so a vector never depends on the
other texts of its batch. Input channels much larger than the rest are evened out
first ("smoothing"): the channel is divided by s and its weights are multiplied by
s = max|x|^a / max|W|^(1-a) (G. Xiao et al., SmoothQuant, ICML 2023, equation 4).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medha_core.embeddings.bert import BertShape, Encoder, Tensors
from medha_core.embeddings.graph import MICROSOFT, Graph

# Exponents and the layers that are smoothed: those that kept cosines and ranks
# closest to float32 on 2,000 questions.
_INPUT_EXPONENT, _CONTEXT_EXPONENT = 0.7, 0.5
_LEVELS, _ZERO = 127, 128
# After Gelu, values are >= -0.17 (the minimum of x * Phi(x)): 32 of 255 levels are enough below zero.
_GELU_LOW, _GELU_LEVELS, _GELU_ZERO = 0.17, 223, 32


@dataclass(frozen=True)
class ChannelPeaks:
    """Largest magnitude seen in each input channel, float32 (layers, width) each."""

    attention: np.ndarray
    context: np.ndarray
    feed_forward: np.ndarray

    @classmethod
    def load(cls, path: Path) -> "ChannelPeaks":
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["attention"], arrays["context"], arrays["feed_forward"])


class Int8Encoder(Encoder):
    """The int8 graph; without `peaks` no channel is evened out, which costs accuracy."""

    def __init__(self, graph: Graph, tensors: Tensors, shape: BertShape, peaks: ChannelPeaks | None):
        super().__init__(graph, tensors, shape)
        self.peaks = peaks

    def looked_up(self, words: np.ndarray) -> str:
        graph = self.graph
        codes, scale = quantized(words)
        rows = graph.node("Cast", graph.node("Gather", graph.weight(codes), "input_ids"), to=1)  # 1: float32
        return graph.node("Mul", rows, graph.node("Gather", graph.weight(scale[:, None]), "input_ids"))

    def attention_weights(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        # The context is the values' weighted mean, so dividing the values' channels divides the context's.
        weight, bias = super().attention_weights(number)
        smooth = self.context_smoothing(number)
        weight[2 * self.width :] /= smooth[:, None]
        bias[2 * self.width :] /= smooth
        return weight, bias

    def output_weights(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = super().output_weights(number)
        return weight * self.context_smoothing(number), bias

    def context_smoothing(self, number: int) -> np.ndarray:
        weight, _ = super().output_weights(number)
        return smoothing(self.peaks.context[number] if self.peaks else None, weight, _CONTEXT_EXPONENT)

    def projected(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.smoothed(rows, weight, self.peaks.attention[number] if self.peaks else None)

    def widened(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.smoothed(rows, weight, self.peaks.feed_forward[number] if self.peaks else None)

    def smoothed(self, rows: str, weight: np.ndarray, peaks: np.ndarray | None) -> str:
        if peaks is None:
            return self.linear(rows, weight)
        smooth = smoothing(peaks, weight, _INPUT_EXPONENT)
        return self.linear(self.graph.node("Mul", rows, self.graph.weight(1 / smooth)), weight * smooth)

    def linear(self, rows: str, weight: np.ndarray) -> str:
        graph = self.graph
        peak = graph.node("ReduceMax", graph.node("Abs", rows), self.integers(1), keepdims=1)
        return self.product(rows, weight, peak, _LEVELS, _ZERO)

    def narrowed(self, rows: str, weight: np.ndarray) -> str:
        graph = self.graph
        floor = graph.weight(np.float32(_GELU_LOW * _GELU_LEVELS / _GELU_ZERO))
        peak = graph.node("Max", graph.node("ReduceMax", rows, self.integers(1), keepdims=1), floor)
        return self.product(rows, weight, peak, _GELU_LEVELS, _GELU_ZERO)

    def product(self, rows: str, weight: np.ndarray, peak: str, levels: int, zero: int) -> str:
        """rows @ weight.T through uint8 activations and int8 weights; `peak` is (rows, 1)."""
        graph = self.graph
        codes, scale = quantized(weight)
        step, origin = graph.weight(np.float32(1 / levels)), graph.weight(np.uint8(zero))
        active = graph.node("QuantizeLinear", graph.node("Div", rows, peak), step, origin)
        inputs = (active, graph.weight(codes.T), step, graph.weight(scale), origin)
        return graph.node("Mul", graph.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT), peak)


def quantized(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes in [-127, 127] and one float32 scale per row: rows ~ codes * scale."""
    scale = np.abs(rows).max(axis=1) / 127
    scale[scale == 0] = 1
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def smoothing(peaks: np.ndarray | None, weight: np.ndarray, exponent: float) -> np.ndarray:
    """The divisor s of each input channel of `weight` (outputs, inputs); geometric mean 1."""
    if peaks is None:
        return np.ones(weight.shape[1], np.float32)
    logs = exponent * np.log(np.maximum(peaks, 1e-5))
    logs -= (1 - exponent) * np.log(np.maximum(np.abs(weight).max(axis=0), 1e-5))
    return np.exp(logs - logs.mean()).astype(np.float32)
