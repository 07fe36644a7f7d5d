"""Sends again what failed for a reason that passes."""

from collections.abc import Callable
from typing import TypeVar

from medha_core.errors import ConfigurationError, EmbeddingError

T = TypeVar("T")

_WAIT_FIRST = 0.25


class RetryableError(EmbeddingError):
    """A failure that may pass; `after` is how many seconds the service asks to wait, None if it does not."""

    def __init__(self, message: str, after: float | None):
        super().__init__(message)
        self.after = after


def retried(call: Callable[[], T], attempts: int, wait_max: float) -> T:
    """The result of `call`, tried up to `attempts` times while it raises `RetryableError`.

    Waits longer each time, with jitter, or as long as the service asks; one that
    asks for more than `wait_max` seconds is not tried again.
    """
    if attempts == 1:
        return call()
    # Imported here: an embedder that never retries does not need the package.
    try:
        import stamina
    except ImportError as error:
        raise ConfigurationError("retries need stamina: pip install 'medha-core[http]'") from error

    def wait(error: Exception) -> bool | float:
        if not isinstance(error, RetryableError):
            return False
        if error.after is None:
            return True
        return error.after if error.after <= wait_max else False

    result: list[T] = []
    for attempt in stamina.retry_context(
        on=wait, attempts=attempts, timeout=None, wait_initial=_WAIT_FIRST, wait_max=wait_max
    ):
        with attempt:
            result.append(call())
    return result[0]
