"""A chain of embedders of one model: the first that can, answers."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from medha_core.concurrency import forking
from medha_core.concurrency.bridge import bridge
from medha_core.embeddings.lazy import close_embedder
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    MedhaError,
    ProvidersFailedError,
    shown,
)
from medha_core.interfaces.embedder import ArrayEmbedder, BaseEmbedder, check_texts, known_dimension

logger = logging.getLogger("medha_core")

_NO_MEMORY = ("out of memory", "bad_alloc", "failed to allocate", "cannot allocate memory")


class FallbackEmbedder(ArrayEmbedder):
    """Asks the first member, and where that fails the next.

    All members must be of one model and dimension, by their names: vectors of two
    models cannot be compared. Their vectors are cached under the chain's own
    fingerprint, never under a member's. A member that runs out of memory is given
    half the texts, and half of those, down to one, before the next is asked. The
    first failure of each member is logged; `falls` counts them all.
    """

    def __init__(self, members: Sequence[BaseEmbedder]):
        """Raises `ConfigurationError` for members of different models or dimensions."""
        if not members:
            raise ArgumentValueError("members", "at least one embedder", members)
        for member in members:
            if not isinstance(member, BaseEmbedder):
                raise ArgumentTypeError("members", "a list of BaseEmbedder", member)
        self._members = tuple(members)
        self._lock = forking.lock()  # guards the counts
        self._falls = [0] * len(members)
        for member in self._members[1:]:
            self._check_alike(member)

    @property
    def members(self) -> tuple[BaseEmbedder, ...]:
        """The embedders in the order in which they are asked."""
        return self._members

    @property
    def falls(self) -> tuple[int, ...]:
        """How often each member failed."""
        return tuple(self._falls)

    @property
    def dimension(self) -> int:
        known = (known_dimension(member) for member in self._members)
        found = next((dimension for dimension in known if dimension is not None), None)
        return self._members[0].dimension if found is None else found

    @property
    def model_name(self) -> str:
        return self._members[0].model_name

    @property
    def fingerprint(self) -> str:
        if len(self._members) == 1:
            return self._only_fingerprint()
        return f"chain/{self.model_name}:{self.dimension}"

    def _only_fingerprint(self) -> str:
        member = self._members[0]
        try:
            return member.fingerprint
        except MedhaError as error:  # a member that cannot be made
            raise ProvidersFailedError([_reason(member, error)]) from error

    def unread(self, text: str) -> Sequence[str]:
        return self._members[0].unread(text)

    def __repr__(self) -> str:
        return f"<FallbackEmbedder of {list(self._members)}>"

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """`aembed_array` for synchronous callers."""
        return bridge.run(self.aembed_array(texts, **kwargs))

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Vectors of the first member that gives them, float32 (len(texts), dimension).

        Raises `ProvidersFailedError`, which is also a `RuntimeError`, when all fail.
        """
        check_texts(texts)
        reasons = []
        for number, member in enumerate(self._members):
            try:
                vectors = await _split(lambda part, of=member: of.aembed_array(part, **kwargs), texts)
                self._check_alike(member)
            except Exception as error:  # noqa: BLE001 (a member is foreign code; the next one is asked, and all reasons are told)
                reasons.append(_reason(member, error))
                self._note(number, error)
            else:
                return vectors
        raise ProvidersFailedError(reasons)

    def _note(self, number: int, error: Exception) -> None:
        with self._lock:
            self._falls[number] += 1
            is_first = self._falls[number] == 1
        if is_first:
            # The reason may quote a question.
            logger.warning(
                "%s failed (%s): the next in the chain is asked, and this is logged once",
                self._members[number],
                type(error).__name__,
            )
        logger.debug("%s failed: %s", self._members[number], error)

    def _check_alike(self, member: BaseEmbedder) -> None:
        first = self._members[0]
        if member.model_name != first.model_name:
            raise ConfigurationError(
                f"a chain is of one model: {first.model_name!r} and {member.model_name!r} cannot be compared"
            )
        ours, theirs = known_dimension(first), known_dimension(member)
        if None not in (ours, theirs) and ours != theirs:
            raise ConfigurationError(f"a chain is of one dimension, got {ours} and {theirs}")

    def close(self) -> None:
        """Close the members that can be closed."""
        for member in self._members:
            close_embedder(member)


async def _split(embed: Callable[[Sequence[str]], Awaitable[np.ndarray]], texts: Sequence[str]) -> np.ndarray:
    """`embed(texts)`, in halves where memory does not suffice for all at once."""
    try:
        return await embed(texts)
    except (MemoryError, RuntimeError, MedhaError) as error:
        if len(texts) < 2 or not is_out_of_memory(error):
            raise
    middle = len(texts) // 2
    return np.concatenate([await _split(embed, texts[:middle]), await _split(embed, texts[middle:])])


def _reason(member: BaseEmbedder, error: Exception) -> str:
    return f"{member!r}: {shown(str(error), 200)}"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that memory did not suffice."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY):
            return True
        error = error.__cause__
    return False
