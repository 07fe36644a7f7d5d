"""Measure the channel peaks that the int8 graph of all-MiniLM-L6-v2 is smoothed with.

    python benchmarks/calibrate_embedding.py FOLDER_WITH_MODEL_SAFETENSORS

runs the float32 graph over a few hundred short questions, records the largest
magnitude in each input channel, and writes the file that the package ships.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors import safe_open
from tokenizers import Tokenizer

from medha_core.embeddings import bert_int8
from medha_core.embeddings.bert import BertShape, Encoder
from medha_core.embeddings.graph import Graph

OUTPUT = Path(bert_int8.__file__).parent / "data" / "all-MiniLM-L6-v2-peaks.npz"
KINDS = ("attention", "context", "feed_forward")
SHAPE = BertShape(heads=12, layers=6)

FORMS = (
    "How many {} are there?",
    "show me the newest {}",
    "Which {} cost more than 250 euros in 2022?",
    "list all {} without an owner, sorted by name",
    "What is the average age of the {} in Berlin?",
    "who changed the {} last Tuesday at 9:45",
    "Give the total of {} per month and region",
    "top 3 {} by growth compared with the previous quarter",
    "Are any {} missing, late or damaged?",
    "{} where status = 'open' and amount <= 99.90",
    "Which of the {} that John Kowalski ordered on 12 March have not been paid, and why?",
    "what's the name, price and weight of the heaviest {}?",
)
THINGS = (
    "customers",
    "orders",
    "invoices",
    "flights to San Francisco",
    "rivers in Texas",
    "employees",
    "red shoes",
    "movies by Kurosawa",
    "hotel rooms",
    "patients",
    "servers in us-east-1",
    "support tickets",
    "bank transfers",
    "insurance claims",
    "sensors",
    "apartments",
    "students of biology",
    "research papers about graphs",
    "restaurants",
    "football matches",
    "coffee machines (model KX-7)",
    "containers",
    "songs",
    "voters",
    "wind turbines",
    "recipes with peanuts",
)
# Texts of one or two tokens have larger channels than sentences.
FRAGMENTS = (
    *("!", ".", ";", "::", "b", "x", "7", "ok", "why", "the", "sales", "SELECT"),
    *("Zürich", "¿Qué?", "いくら", "не"),
)


class RecordingEncoder(Encoder):
    """The float32 encoder with the inputs of its matrix products as extra outputs."""

    def projected(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(self._recorded(f"attention_{number}", rows), weight)

    def combined(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(self._recorded(f"context_{number}", rows), weight)

    def widened(self, number: int, rows: str, weight: np.ndarray) -> str:
        return self.linear(self._recorded(f"feed_forward_{number}", rows), weight)

    def _recorded(self, name: str, rows: str) -> str:
        peaks = self.graph.node("ReduceMax", self.graph.node("Abs", rows), self.integers(0), keepdims=0)
        self.graph.rename(peaks, name)
        return rows


def recording_graph(path: Path, weights: Path) -> None:
    names = [
        f"{kind}_{layer}"
        for kind in ("attention", "context", "feed_forward")
        for layer in range(SHAPE.layers)
    ]
    with path.with_suffix(".data").open("wb") as data, safe_open(weights, "numpy") as tensors:
        graph = Graph(data, path.with_suffix(".data").name)
        encoder = RecordingEncoder(graph, tensors.get_tensor, SHAPE)
        graph.rename(encoder.pooled(encoder.encoded()), "vectors")
    shapes = {"vectors": ["texts", encoder.width]} | {name: [encoder.width] for name in names}
    graph.save(path, {"input_ids": ["texts", "tokens"]}, shapes)


def channel_peaks(model: Path, texts: list[str]) -> dict[str, np.ndarray]:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    with tempfile.TemporaryDirectory() as folder:
        recording_graph(Path(folder) / "recording.onnx", model / "model.safetensors")
        session = onnxruntime.InferenceSession(Path(folder) / "recording.onnx")
        names = [output.name for output in session.get_outputs()][1:]
        peaks: dict[str, np.ndarray] = {}
        for text in texts:
            ids = np.array([tokenizer.encode(text).ids], np.int32)
            for name, seen in zip(names, session.run(names, {"input_ids": ids}), strict=True):
                peaks[name] = np.maximum(peaks.get(name, 0), seen)
    return {kind: np.stack([peaks[f"{kind}_{layer}"] for layer in range(SHAPE.layers)]) for kind in KINDS}


if __name__ == "__main__":
    questions = [form.format(thing) for form, thing in itertools.product(FORMS, THINGS)]
    questions += FRAGMENTS
    OUTPUT.parent.mkdir(exist_ok=True)
    np.savez(OUTPUT, **channel_peaks(Path(sys.argv[1]), questions))
    print(f"{len(questions)} questions -> {OUTPUT}")
