"""Sentence vectors from a model that runs in this process, through onnxruntime."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from medha_core.concurrency import forking
from medha_core.concurrency.inflight import InFlight, Pending, done
from medha_core.embeddings import models
from medha_core.embeddings.opening import open_model
from medha_core.embeddings.sources import OnProgress
from medha_core.errors import ArgumentTypeError, ArgumentValueError, EmbeddingError
from medha_core.interfaces.embedder import ArrayEmbedder, check_texts

_MAX_DEFAULT_THREADS = 4
_UNKNOWN = frozenset(["[UNK]", "<unk>"])


class OnnxEmbedder(ArrayEmbedder):
    """Embeds with all-MiniLM-L6-v2, or another BERT sentence encoder, on the CPU.

    A text's vector is the same bits alone or in any batch, in any order, in any
    thread; equal texts asked for at the same time are computed once. A text
    longer than `max_tokens` is cut there. Safe to share between threads and
    event loops. Stored texts and questions are embedded alike: `is_document`
    makes no difference to these models.

    The constructor loads the model, and fetches it first when it is not on this
    machine (`medha models pull` does that ahead of time).
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = models.DEFAULT_MODEL,
        *,
        variant: Literal["int8", "float32"] = "int8",
        model_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        progress: OnProgress | None = None,
    ):
        """
        Args:
            model: a known model's name, or a folder or .onnx file.
            variant: `int8` is two to three times faster; `float32` is exact. For
                all-MiniLM-L6-v2 their cosine is 0.999 in the mean; for a converted
                model of your own it is lower, since its channels were not measured.
                An .onnx file is run as it is.
            model_dir: a folder that holds the model: one that `medha models pull`
                made, a sentence-transformers folder with a BERT encoder in
                model.safetensors, or one with an .onnx file. Nothing is downloaded.
            threads: how many texts are computed at once; default: the processors
                this process may use, at most 4.
            progress: called with (bytes fetched, bytes in total) during a download.

        Raises:
            ConfigurationError: a package is missing, or the folder cannot be used.
            EmbeddingError: the model cannot be fetched or is damaged.
        """
        if variant not in ("int8", "float32"):
            raise ArgumentValueError("variant", "'int8' or 'float32'", variant)
        self._threads = _checked_threads(threads)
        self._model = open_model(model, variant, model_dir, progress)
        self._closed = False
        self._begin()

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def model_name(self) -> str:
        return self._model.name

    @property
    def variant(self) -> str:
        return self._model.variant

    @property
    def max_tokens(self) -> int:
        """Texts are cut after so many tokens, the two marks at the ends included."""
        return self._model.max_tokens

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def fingerprint(self) -> str:
        """Name, variant, recipe, weights' sha256, dimension, pooling and normalisation."""
        return self._model.fingerprint

    def unread(self, text: str) -> Sequence[str]:
        """Words outside the model's vocabulary, and the end that `max_tokens` cuts off."""
        encoding = self._model.tokenizer.encode(text)
        read = [
            span
            for span, mark in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
            if not mark
        ]
        if not read:
            return (text,)
        words = (
            text[start:end]
            for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True)
            if token in _UNKNOWN
        )
        return (*words, text[read[-1][1] :]) if encoding.overflowing else tuple(words)

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<OnnxEmbedder {self.model_name!r}, {self.variant}, {self.dimension} dimensions{state}>"

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension); computes in the calling thread if it can."""
        pending, mine = self._claim(texts)
        if mine:
            self._compute(mine)
        return _gathered(texts, pending, self.dimension)

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`embed_array` on the embedder's own threads; cancelling it harms no other caller."""
        pending, mine = self._claim(texts)
        if mine:
            self._submit(mine, self._compute, mine)
        for one in pending.values():
            await done(one)
        return _gathered(texts, pending, self.dimension)

    def close(self) -> None:
        """Stop the threads when what they run is done; what waits for them fails with `EmbeddingError`.

        Closing twice is harmless.
        """
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.shutdown()

    def __enter__(self) -> "OnnxEmbedder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _claim(self, texts: Sequence[str]) -> tuple[dict[str, Pending], dict[str, Pending]]:
        check_texts(texts)
        if self._closed:
            raise EmbeddingError(f"{self!r} was used after close()")
        if self._process != os.getpid():
            self._begin()
        return self._inflight.claim(texts)

    def _begin(self) -> None:
        """Start with no threads and nothing under way, which is also what a fork leaves."""
        self._process = os.getpid()
        self._lock = forking.lock()  # guards the pool
        self._pool: ThreadPoolExecutor | None = None
        self._inflight: InFlight[str, np.ndarray] = InFlight()

    def _compute(self, mine: dict[str, Pending]) -> None:
        """Tokenise and group the texts of `mine`; run the groups here or on the pool."""
        with self._failing(mine):
            groups = self._groups(list(mine))
            for texts, ids in groups:
                part = {text: mine[text] for text in texts}
                if self._threads == 1 or len(groups) == 1:
                    self._run(part, ids)
                else:
                    self._submit(part, self._run, part, ids)

    def _groups(self, texts: list[str]) -> list[tuple[list[str], list[list[int]]]]:
        """Texts of equal token count together, cut where a run would get too large."""
        by_length: dict[int, list[int]] = defaultdict(list)
        ids = [encoding.ids for encoding in self._model.tokenizer.encode_batch(texts)]
        for row, tokens in enumerate(ids):
            by_length[len(tokens)].append(row)
        groups = []
        for length, rows in by_length.items():
            size = max(1, self._model.session.batch_tokens // length)
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                groups.append(([texts[row] for row in part], [ids[row] for row in part]))
        return groups

    def _run(self, mine: dict[str, Pending], ids: list[list[int]]) -> None:
        with self._failing(mine):
            for text, vector in zip(mine, self._model.session.run(ids), strict=True):
                self._inflight.settle(text, vector)

    def _submit(self, mine: dict[str, Pending], function: Callable[..., None], *arguments: Any) -> None:
        with self._failing(mine), self._lock:
            if self._closed:
                raise EmbeddingError(f"{self!r} was closed")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="medha-embed")
            self._pool.submit(function, *arguments)

    @contextmanager
    def _failing(self, mine: dict[str, Pending]) -> Iterator[None]:
        """Whatever goes wrong inside is told to everyone who waits for these texts."""
        try:
            yield
        except BaseException as error:
            told = (
                error if isinstance(error, EmbeddingError) else EmbeddingError(f"embedding failed: {error!r}")
            )
            self._inflight.fail(mine, told)
            raise


def _gathered(texts: Sequence[str], pending: dict[str, Pending], dimension: int) -> np.ndarray:
    vectors = np.empty((len(texts), dimension), np.float32)
    for row, text in enumerate(texts):
        vectors[row] = pending[text].result()
    return vectors


def _checked_threads(threads: int | None) -> int:
    if threads is None:
        return min(_usable_processors(), _MAX_DEFAULT_THREADS)
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise ArgumentTypeError("threads", "int or None", threads)
    if threads < 1:
        raise ArgumentValueError("threads", "at least 1", threads)
    return threads


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
