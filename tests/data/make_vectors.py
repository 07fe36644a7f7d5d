"""Write question_vectors.npz: the float32 graph's vectors of questions.txt, the reference of the tests.

    python tests/data/make_vectors.py

Run it again when questions.txt changes. With sentence-transformers installed it
also prints the smallest cosine between the two (1.0000 when last written).
"""

import importlib.util
from pathlib import Path

import numpy as np

from medha_core.embeddings import OnnxEmbedder

HERE = Path(__file__).parent
MODEL = "sentence-transformers/all-MiniLM-L6-v2"

if __name__ == "__main__":
    questions = (HERE / "questions.txt").read_text("utf-8").splitlines()
    vectors = OnnxEmbedder(variant="float32").embed_array(questions)
    np.savez(HERE / "question_vectors.npz", vectors=vectors)
    if importlib.util.find_spec("sentence_transformers"):
        from sentence_transformers import SentenceTransformer

        expected = SentenceTransformer(MODEL).encode(questions, normalize_embeddings=True)
        print(f"smallest cosine: {(vectors * expected).sum(axis=1).min():.7f}")
