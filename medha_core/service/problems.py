"""From what goes wrong to what the outside is told: a status, and `{error: {type, message, param}}`."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    ConflictError,
    EmbeddingError,
    StorageError,
)

logger = logging.getLogger("medha_core")

MSGPACK = "application/msgpack"
MSGPACK_TYPES = frozenset({MSGPACK, "application/x-msgpack", "application/vnd.msgpack"})

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "unsupported_media_type",
    421: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "internal_error",
    502: "embedding_error",
    503: "unavailable_error",
    504: "timeout_error",
}


class ProblemError(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def response(self, media_type: str = "application/json") -> Response:
        """Told in JSON of ASCII letters, which no text can break, or in msgpack."""
        told = {
            "error": {
                "type": TYPES.get(
                    self.status, "invalid_request_error" if self.status < 500 else "internal_error"
                ),
                "message": _encodable(self.message),
                "param": self.param and _encodable(self.param),
            }
        }
        encode = msgspec.msgpack.encode if media_type == MSGPACK else msgspec.json.encode
        return Response(encode(told), self.status, self.headers, media_type=media_type)


def problem_of(error: Exception, invalid: int = 422) -> ProblemError:
    """What the outside is told of an error; `invalid` is the status for a request that cannot be read.

    What a store, a model or a bug says may name paths and keys: that goes to the log.
    """
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return _unreadable(error.errors(), invalid)
        case HTTPException():
            return ProblemError(error.status_code, str(error.detail), headers=error.headers)
        case ArgumentValueError() | ArgumentTypeError():
            return ProblemError(invalid, str(error), error.argument)
        case ConflictError():
            return ProblemError(409, str(error), "question")
        case ConfigurationError():
            return ProblemError(400, str(error))
        case EmbeddingError():
            logger.warning("embedding failed: %s", error)
            return ProblemError(502, "the model could not embed the text; the server's log says why")
        case StorageError():
            logger.warning("the store failed: %s", error)
            return ProblemError(503, "the store could not do this; the server's log says why")
        case TimeoutError():
            return ProblemError(504, "this took too long")
    logger.error("a request failed unexpectedly", exc_info=error)
    return ProblemError(500, "an unexpected error; the server's log says more")


def _unreadable(errors: Any, status: int) -> ProblemError:
    """The first thing wrong with a body, by its place in it."""
    first = errors[0]
    if first["type"] == "json_invalid":  # its place is a number of characters, and no field
        return ProblemError(status, "the body is no JSON that can be read")
    # The first part says where in the request a field is; a field may have the same name.
    parts = first["loc"][first["loc"][:1] in (("body",), ("query",), ("path",), ("header",)) :]
    place = ".".join(str(part) for part in parts)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(status, f"{place or 'body'}: {first['msg']}{more}", place or None)


def _encodable(text: str) -> str:
    """Lone surrogates, which may come in with JSON, cannot go out as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def speaks_msgpack(request: Request) -> bool:
    """Whether a request's body is msgpack, so that its answer is, too."""
    return media_type(request) in MSGPACK_TYPES


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class StructuredRoute(APIRoute):
    """A route that answers every error in one form, in whatever application it is mounted."""

    invalid = 422
    """The status for a request that cannot be read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def structured(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 (the edge: nothing but a structured answer leaves)
                kind = MSGPACK if speaks_msgpack(request) else "application/json"
                return problem_of(error, self.invalid).response(kind)

        return structured


class OpenAIRoute(StructuredRoute):
    """The same with the status that clients of the OpenAI protocol expect."""

    invalid = 400
