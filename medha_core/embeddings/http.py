"""What all embedders behind an HTTP service share: batches, connections, retries, checks."""

import asyncio
import json
import math
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from medha_core.concurrency.forking import leave_open, watch
from medha_core.embeddings.retrying import RetryableError, retried
from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError, EmbeddingError, shown
from medha_core.interfaces.embedder import ArrayEmbedder, as_array, check_texts, unit_rows

if TYPE_CHECKING:
    import httpx

_RETRIED = frozenset([408, 409, 425, 429, 500, 502, 503, 504, 529])
_CONCURRENT = 8
"""Requests of one embedder that are under way at a time."""


class HttpEmbedder(ArrayEmbedder):
    """Embeds by asking a service; a subclass says what is sent and where the vectors are in the answer.

    Texts go in batches of at most `max_batch` texts and `max_characters`
    characters, several at a time, over connections that are kept. A request that
    fails for a reason that passes is sent again, after the time that the service
    asks for. Vectors are scaled to length 1. Everything that goes wrong is an
    `EmbeddingError` that names this embedder. Safe to share between threads and
    event loops; a forked child opens connections of its own.
    """

    extra = "http"
    """The extra of this package that installs what is needed."""
    provider = "http"

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        dimension: int | None = None,
        max_batch: int = 100,
        max_characters: int = 250_000,
        timeout: float = 30.0,
        attempts: int = 4,
        wait_max: float = 30.0,
    ):
        """
        Args:
            model: the service's name for the model.
            base_url: where the service is.
            headers: sent with each request, such as the key.
            dimension: of the vectors; None: learnt from the first answer.
            max_batch: texts in one request.
            max_characters: characters in one request; a longer text goes alone.
            timeout: seconds that connecting, sending and answering may each take.
            attempts: how often a request is sent at most.
            wait_max: seconds between two attempts at most; a service that asks for more fails at once.
        """
        check_text_argument("model", model)
        check_text_argument("base_url", base_url)
        if not base_url.startswith(("http://", "https://")):
            raise ArgumentValueError("base_url", "an http:// or https:// address", base_url)
        for name, value in (("max_batch", max_batch), ("attempts", attempts)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ArgumentTypeError(name, "int", value)
            if value < 1:
                raise ArgumentValueError(name, "at least 1", value)
        if not timeout > 0:
            raise ArgumentValueError("timeout", "more than 0 seconds", timeout)
        if dimension is not None and (not isinstance(dimension, int) or dimension < 1):
            raise ArgumentValueError("dimension", "at least 1, or None", dimension)
        self._httpx = import_httpx(type(self).__name__, self.extra)
        self._model, self._dimension = model, dimension
        self._base_url, self._headers = base_url.rstrip("/"), dict(headers or {})
        self._shown_url = _without_user(self._base_url)
        self._max_batch, self._max_characters = max_batch, max_characters
        self._timeout, self._attempts, self._wait_max = timeout, attempts, wait_max
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()  # guards the client and the pool
        self._client: httpx.Client | None = None
        self._pool: ThreadPoolExecutor | None = None
        watch(self)

    def abandon(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        if self._client is not None:
            leave_open(self._client)
        self._begin()

    @property
    def dimension(self) -> int:
        if self._dimension is None:
            raise EmbeddingError(f"{self!r} learns its dimension with the first text that it embeds")
        return self._dimension

    @property
    def model_name(self) -> str:
        return self._model

    @property
    def fingerprint(self) -> str:
        return f"{self.provider}/{self._model}:{self.dimension}"

    def __repr__(self) -> str:
        size = "dimension not known yet" if self._dimension is None else f"{self._dimension} dimensions"
        return f"<{type(self).__name__} {self._model!r} at {self._shown_url}, {size}>"

    # what a subclass says

    @abstractmethod
    def _request(self, texts: Sequence[str], is_document: bool) -> tuple[str, Any]:
        """The path below `base_url`, and the body to send."""

    @abstractmethod
    def _vectors(self, answer: Any) -> Any:
        """The vectors in the body of an answer; `LookupError` or `TypeError` if there are none."""

    # embedding

    def embed_array(self, texts: Sequence[str], *, is_document: bool = False, **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension)."""
        check_texts(texts)
        batches = list(self._batches(texts))
        if len(batches) < 2:
            return self._stacked([self._batch(batch, is_document) for batch in batches])
        pool = self._threads()
        return self._stacked(list(pool.map(lambda batch: self._batch(batch, is_document), batches)))

    async def aembed_array(
        self, texts: Sequence[str], *, is_document: bool = False, **kwargs: Any
    ) -> np.ndarray:
        """`embed_array` on the embedder's own threads."""
        check_texts(texts)
        loop, pool = asyncio.get_running_loop(), self._threads()
        work = [loop.run_in_executor(pool, self._batch, batch, is_document) for batch in self._batches(texts)]
        return self._stacked(await asyncio.gather(*work))

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size = 0
        for text in texts:
            if batch and (len(batch) == self._max_batch or size + len(text) > self._max_characters):
                yield batch
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            yield batch

    def _stacked(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(rows) if rows else np.empty((0, self._dimension or 0), np.float32)

    def _batch(self, texts: Sequence[str], is_document: bool) -> np.ndarray:
        path, body = self._request(texts, is_document)
        answer = retried(lambda: self._answer(path, body), self._attempts, self._wait_max)
        return self._checked(answer, len(texts))

    def _checked(self, answer: Any, count: int) -> np.ndarray:
        try:
            found = self._vectors(answer)
        except (LookupError, TypeError, ValueError) as error:
            raise EmbeddingError(
                f"{self!r}: the answer is not as documented: {shown(answer, 200)}"
            ) from error
        rows = as_array(found if len(found) else np.empty((0, 0)))
        vectors = unit_rows(rows, count, self._dimension)
        self._dimension = vectors.shape[1]
        return vectors

    # one request

    def _answer(self, path: str, body: Any) -> Any:
        """The body of a good answer. Raises `RetryableError` for what may pass, else `EmbeddingError`."""
        content, kind = self._encode(body)
        headers = self._headers | {"content-type": kind, "accept": kind}
        try:
            response = self._connection().post(self._base_url + path, content=content, headers=headers)
        except self._httpx.TransportError as error:
            raise RetryableError(f"{self!r}: no answer ({type(error).__name__}: {error})", None) from error
        except self._httpx.HTTPError as error:
            raise EmbeddingError(f"{self!r}: {error}") from error
        if response.status_code in _RETRIED:
            raise RetryableError(self._refusal(response), retry_after(response.headers.get("retry-after")))
        if response.status_code != 200:
            raise EmbeddingError(self._refusal(response))
        try:
            return self._decode(response)
        except ValueError as error:
            raise EmbeddingError(f"{self!r}: the answer cannot be read: {error}") from error

    def _encode(self, body: Any) -> tuple[bytes, str]:
        return encode_json(body), "application/json"

    def _decode(self, response: "httpx.Response") -> Any:
        return response.json()

    def _refusal(self, response: "httpx.Response") -> str:
        return f"{self!r}: status {response.status_code}: {self._reason(response)}"

    def _reason(self, response: "httpx.Response") -> str:
        """What the service says is wrong, wherever it says that."""
        try:
            body = self._decode(response)
        except ValueError:
            return shown(response.text, 200)
        error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
        message = error.get("message", error) if isinstance(error, dict) else error
        return shown(message, 200)

    # connections

    def _connection(self) -> "httpx.Client":
        with self._lock:
            self._check_open()
            if self._client is None:
                self._client = self._httpx.Client(timeout=self._timeout)
            return self._client

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            self._check_open()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="medha-embed-http")
            return self._pool

    def _check_open(self) -> None:
        if self._closed:
            raise EmbeddingError(f"{self!r} was used after close()")

    def close(self) -> None:
        """Finish what is under way, and close the connections. Closing twice is harmless."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        if client is not None:
            client.close()

    def __del__(self) -> None:
        client = getattr(self, "_client", None)
        if client is not None:
            client.close()

    def __enter__(self) -> "HttpEmbedder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _without_user(url: str) -> str:
    """An address for messages and logs: without a user and a password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def import_httpx(name: str, extra: str) -> Any:
    """The package httpx. Raises `ConfigurationError` naming the extra that installs it."""
    try:
        import httpx
    except ImportError as error:
        raise ConfigurationError(f"{name} needs httpx: pip install 'medha-core[{extra}]'") from error
    return httpx


def key_from(api_key: Any, *variables: str) -> str:
    """The key that was given, or that of the first environment variable that is set."""
    if api_key is not None and not isinstance(api_key, str):
        api_key = getattr(api_key, "get_secret_value", lambda: api_key)()
        if not isinstance(api_key, str):
            raise ArgumentTypeError("api_key", "str", api_key)
    found = api_key or next((os.environ[name] for name in variables if os.environ.get(name)), None)
    if not found:
        raise ConfigurationError(f"api_key: none was given, and {' or '.join(variables)} is not set")
    return found


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks to wait: a number, or a date. None without a readable one."""
    try:
        seconds = float(header or "")
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header or "").timestamp() - time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def encode_json(body: Any) -> bytes:
    """`body` as compact JSON in UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def check_text_argument(argument: str, value: object) -> None:
    """Refuse what is no non-empty text."""
    if not isinstance(value, str):
        raise ArgumentTypeError(argument, "str", value)
    if not value.strip():
        raise ArgumentValueError(argument, "a non-empty text", value)
