"""`POST /embed`: what the embedding cache of another machine talks to, in msgpack or JSON."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from medha_core.service.access import Access, Caller
from medha_core.service.encode import encoded, json_rows, msgpack_rows
from medha_core.service.problems import MSGPACK, ProblemError, StructuredRoute, media_type, speaks_msgpack
from medha_core.service.routers.common import ERRORS, known_model, told_of_texts
from medha_core.service.schemas import WireAnswer, WireRequest
from medha_core.service.service import EmbedderService

_PACKED: dict[int | str, dict[str, Any]] = {
    status: {**told, "content": {MSGPACK: {}}} for status, told in ERRORS.items()
} | {200: {"content": {MSGPACK: {}}}}
_SCHEMA = WireRequest.model_json_schema()
_BODY = {
    "requestBody": {
        "required": True,
        "content": {t: {"schema": _SCHEMA} for t in ("application/json", MSGPACK)},
    }
}


def wire_router(service: EmbedderService, access: Access | None = None) -> APIRouter:
    """`POST /embed`; the answer is of the type that the request has."""
    access = access or Access()
    router = APIRouter(tags=["embed"], route_class=StructuredRoute, responses=_PACKED)
    Known = Annotated[Caller, Depends(access.caller)]  # noqa: N806 (a type)

    @router.post("/embed", response_model=WireAnswer, openapi_extra=_BODY)
    async def embed(request: Request, caller: Known) -> Response:
        """The vectors of texts, and which of them were remembered."""
        body = _read(request, await request.body())
        access.limits.check_batch(len(body.texts), "texts")
        known_model(service, body.model)
        with access.charge(caller) as charge, told_of_texts():
            found = await service.vectors(
                body.texts,
                body.model,
                is_document=body.role == "document",
                scope=caller.scope,
                charge=charge,
            )
        packed = speaks_msgpack(request)
        answer = {
            "embeddings": await encoded(msgpack_rows if packed else json_rows, found.array),
            "cache_hits": found.cached,
            "model": found.model,
            "dimensions": found.dimension,
            "fingerprint": found.fingerprint,
        }
        if packed:
            return Response(msgspec.msgpack.encode(answer), media_type=MSGPACK)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return router


def _read(request: Request, body: bytes) -> WireRequest:
    if speaks_msgpack(request):
        decode = msgspec.msgpack.decode
    elif media_type(request) == "application/json":
        decode = msgspec.json.decode
    else:
        raise ProblemError(415, f"the body must be {MSGPACK} or application/json", "content-type")
    try:
        return WireRequest.model_validate(decode(body), strict=True)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ProblemError(422, f"the body cannot be read as {media_type(request)}: {error}") from None
