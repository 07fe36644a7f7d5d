"""How much one caller may ask for, at once and by the minute."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from cachetools import LRUCache

from medha_core.errors import ArgumentValueError
from medha_core.service.problems import ProblemError

_CALLERS = 10_000
"""Callers whose use is remembered; each key is one."""


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    `rate` is the number of texts a minute that are computed for one caller: what
    is remembered costs nothing. As many may be asked for at once as a minute has.
    `timeout` is in seconds, for reading a request and for answering it.
    """

    max_body: int = 1_000_000
    max_batch: int = 1024
    rate: int | None = None
    timeout: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_body", "max_batch", "timeout"):
            if not getattr(self, name) > 0:
                raise ArgumentValueError(name, "more than 0", getattr(self, name))
        if self.rate is not None and self.rate < 1:
            raise ArgumentValueError("rate", "at least 1, or None", self.rate)

    def check_batch(self, count: int, argument: str) -> None:
        """Refuse a batch that is too large."""
        if count > self.max_batch:
            raise ProblemError(413, f"{argument}: at most {self.max_batch} at once, got {count}", argument)


@dataclass
class _Bucket:
    level: float
    at: float


class Charge:
    """What one request has been charged; used as `with charge:`, a request that fails gets it back."""

    def __init__(self, rates: "Rates", caller: str):
        self._rates = rates
        self._caller = caller
        self.taken = 0

    def take(self, count: int) -> None:
        """Charge for `count` texts, or raise the answer 429 with the time to wait."""
        self._rates.take(self._caller, count)
        self.taken += count

    def give_back(self, count: int) -> None:
        """Undo a part of what was taken."""
        self._rates.give_back(self._caller, count)
        self.taken -= count

    def __enter__(self) -> "Charge":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.taken:
            self.give_back(self.taken)


class Rates:
    """A bucket for each caller that holds a minute's texts and fills up steadily.

    A request for more than a bucket ever holds is let through when it is full,
    and paid off afterwards.
    """

    def __init__(self, rate: int | None, clock: Callable[[], float] = monotonic):
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()  # guards the buckets
        self._buckets: LRUCache[str, _Bucket] = LRUCache(_CALLERS)

    def charge(self, caller: str) -> Charge:
        return Charge(self, caller)

    def take(self, caller: str, count: int) -> None:
        if self._rate is None:
            return
        with self._lock:
            bucket = self._filled(caller, self._rate)
            wanted = min(count, self._rate)
            if bucket.level < wanted:
                wait = math.ceil((wanted - bucket.level) * 60 / self._rate)
                raise ProblemError(
                    429,
                    f"at most {self._rate} texts a minute are computed for one caller; "
                    f"{count} more can be in {wait} seconds",
                    headers={"Retry-After": str(wait)},
                )
            bucket.level -= count

    def give_back(self, caller: str, count: int) -> None:
        if self._rate is None:
            return
        with self._lock:
            bucket = self._filled(caller, self._rate)
            bucket.level = min(float(self._rate), bucket.level + count)

    def _filled(self, caller: str, rate: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(float(rate), now)
        bucket.level = min(float(rate), bucket.level + (now - bucket.at) * rate / 60)
        bucket.at = now
        return bucket
