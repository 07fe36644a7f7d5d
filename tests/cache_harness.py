"""Fills an embedding cache until it is killed: `python cache_harness.py FILE SEED`; counts what it kept."""

import sys

from medha_core.embedding import CachedEmbedder
from medha_core.embeddings import HashingEmbedder


def main(path: str, seed: str) -> None:
    """Embed new texts, eight at a time, for ever."""
    cache = CachedEmbedder(HashingEmbedder(64), path, memory_entries=0)
    number = 0
    while True:
        texts = [f"text {seed} {number + i}" for i in range(8)]
        cache.embed_array(texts)
        number += 8
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
