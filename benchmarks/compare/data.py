"""Vectors to search: synthetic clusters, and vectors like those of real questions."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["DIMENSION", "Data", "load", "question_vectors"]

DIMENSION = 384
QUERIES = 300
OWN_QUESTIONS = Path(__file__).parents[2] / "tests" / "data" / "questions.txt"


class Data(NamedTuple):
    """Unit rows, and queries with what is true of them."""

    rows: np.ndarray
    """float32[n, d]."""
    hits: np.ndarray
    """float32[q, d]: each near an entry."""
    nearest: np.ndarray
    """int[q]: the entry nearest to each hit."""
    misses: np.ndarray
    """float32[q, d]: none has an entry above the threshold."""
    min_score: float


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def load(kind: str, size: int, questions: str = "") -> Data:
    """`kind` is "synthetic" or "text"; for text, `questions` names a file of `question_vectors`."""
    return synthetic(size) if kind == "synthetic" else text_like(size, questions)


def synthetic(size: int) -> Data:
    """Clusters of ten; a hit is a noisy copy of an entry (cosine about 0.96), a miss a random direction."""
    random = np.random.default_rng(size)

    def noise(n: int, length: float) -> np.ndarray:
        return random.standard_normal((n, DIMENSION), np.float32) * np.float32(length / DIMENSION**0.5)

    centres = units(noise(max(size // 10, 1), 1))
    rows = np.concatenate(
        [
            units(centres[random.integers(0, len(centres), len(part))] + noise(len(part), 0.35))
            for part in np.array_split(np.arange(size), max(1, size // 100_000))
        ]
    )
    hits = units(rows[random.integers(0, size, QUERIES)] + noise(QUERIES, 0.3))
    return Data(rows, hits, best_of(rows, hits)[0], units(noise(QUERIES, 1)), 0.8)


def text_like(size: int, questions: str) -> Data:
    """Vectors of real questions and, beyond their number, turned copies as paraphrases are.

    A copy is turned to a cosine of 0.6 to 0.98 in a direction in which two real questions differ, so it stays
    among them; a hit to 0.8 to 0.99 from an entry. A miss is a turned copy with no entry above 0.8.
    """
    real = np.load(questions)
    random = np.random.default_rng(size)
    rows = np.empty((size, DIMENSION), np.float32)
    known = min(size, len(real))
    rows[:known] = real[random.permutation(len(real))[:known]]
    for start in range(known, size, 100_000):
        part = rows[start : start + 100_000]
        part[:] = turned(real[random.integers(len(real), size=len(part))], 0.6, 0.98, real, random)
    hits = turned(rows[random.integers(size, size=QUERIES)], 0.8, 0.99, real, random)
    far = turned(real[random.integers(len(real), size=4 * QUERIES)], 0.2, 0.6, real, random)
    misses = far[best_of(rows, far)[1] < 0.79][:QUERIES]
    return Data(rows, hits, best_of(rows, hits)[0], misses, 0.8)


def turned(
    rows: np.ndarray, least: float, most: float, real: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Each row turned so that its cosine to before lies between `least` and `most`."""
    n = len(rows)
    away = real[random.integers(len(real), size=n)] - real[random.integers(len(real), size=n)]
    away += 1e-3 * random.standard_normal(away.shape)
    away = units(away - (away * rows).sum(axis=1, keepdims=True) * rows)
    cosine = random.uniform(least, most, (n, 1))
    return units(cosine * rows + np.sqrt(1 - cosine**2) * away)


def best_of(rows: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest row of each query, by brute force, and its cosine."""
    labels = np.zeros(len(queries), int)
    scores = np.full(len(queries), -2, np.float32)
    for start in range(0, len(rows), 50_000):
        found = queries @ rows[start : start + 50_000].T
        best = found.argmax(axis=1)
        highest = found[np.arange(len(queries)), best]
        better = highest > scores
        labels[better], scores[better] = best[better] + start, highest[better]
    return labels, scores


def question_vectors(paths: Iterable[str], folder: Path) -> str:
    """A file with the vectors of the questions of JSONL files, .gz too; by default this repository's."""
    from medha_core import OnnxEmbedder

    texts = sorted({text for path in paths for text in _questions(Path(path))})
    texts = texts or OWN_QUESTIONS.read_text("utf-8").splitlines()
    path = folder / "questions.npy"
    with OnnxEmbedder() as embedder:
        np.save(path, embedder.embed_array(texts))
    return str(path)


def _questions(path: Path) -> list[str]:
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    return [found["question"] for line in lines if "question" in (found := json.loads(line))]


def words(number: int, subject: str = "sales") -> str:
    """A question of its own, without digits, that no other is like in letters."""
    letters = "".join(chr(97 + int(digit, 16)) for digit in f"{number * 2654435761 % 2**32:08x}")
    return f"{subject} {letters[:4]} of {letters[4:]} by month"
