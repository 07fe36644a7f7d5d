"""Who is calling, and what they may touch."""

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from medha_core.errors import ConfigurationError
from medha_core.service.api_keys import KeyFile
from medha_core.service.limits import Charge, Limits, Rates
from medha_core.service.problems import ProblemError

logger = logging.getLogger("medha_core")

_BEARER = HTTPBearer(auto_error=False, description="An API key made with `medha keys create`.")
_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="The same key, in a header of its own."
)


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request."""

    id: str
    collections: tuple[str, ...] | None = None
    """The only collections they may touch; None for all."""

    @property
    def scope(self) -> str:
        """Callers of one scope share remembered vectors; nobody learns what others asked for."""
        if self.collections is None:
            return ""
        return "".join(f"{len(name)}:{name}" for name in sorted(self.collections))

    def collection(self, asked: str | None, default: str) -> str:
        """The collection to use, or the answer 403."""
        if self.collections is None:
            return default if asked is None else asked
        if asked is None:
            asked = self.collections[0] if len(self.collections) == 1 else default
        if asked not in self.collections:
            raise ProblemError(403, "this key has no access to that collection", "collection")
        return asked

    def check_operator(self) -> None:
        """Refuse a key that is bound to collections what concerns the whole server."""
        if self.collections is not None:
            raise ProblemError(
                403, "this key is bound to collections; the whole server needs one that is not"
            )


class Access:
    """Lets callers in: everybody without `keys`, else whoever shows one.

    Args:
        keys: the file of keys; None lets everybody in, as one caller.
        limits: what a caller may ask for.
    """

    def __init__(self, keys: KeyFile | None = None, limits: Limits | None = None):
        self.keys = keys
        self.limits = limits or Limits()
        self.rates = Rates(self.limits.rate)

    def charge(self, caller: Caller) -> Charge:
        return self.rates.charge(caller.id)

    async def caller(
        self,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        header: Annotated[str | None, Security(_HEADER)],
    ) -> Caller:
        """A dependency: the caller, or the answer 401."""
        if self.keys is None:
            return Caller("everybody")
        shown = bearer.credentials if bearer is not None else header
        try:
            key = self.keys.find(shown) if shown else None
        except ConfigurationError as error:
            logger.error("nobody is let in: %s", error)
            raise ProblemError(503, "keys cannot be checked; the server's log says why") from error
        if key is None:
            what = "this API key is not known" if shown else "an API key is needed: Authorization: Bearer KEY"
            raise ProblemError(401, what, headers={"WWW-Authenticate": "Bearer"})
        return Caller(key.id, key.collections)
