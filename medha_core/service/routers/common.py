"""What the routers share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from fastapi import Response

from medha_core.errors import ArgumentValueError, ConfigurationError
from medha_core.service.models import ServedModel
from medha_core.service.problems import ProblemError
from medha_core.service.schemas import ErrorBody
from medha_core.service.service import EmbedderService

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "The request cannot be read, or asks for what is not set up here.",
        401: "An API key is missing or not known.",
        403: "The key may not do this.",
        404: "There is no such model.",
        409: "Another query is stored for the question.",
        413: "The request, or the batch in it, is too large.",
        415: "The body is of a type that is not read here.",
        421: "The server was called by a name it does not answer to.",
        422: "A value cannot be used.",
        429: "Too many texts a minute; Retry-After says how long to wait.",
        502: "The model failed.",
        503: "Not ready, or the store failed.",
        504: "It took too long.",
    }.items()
}
"""The errors in the OpenAPI description of each route."""


def json_answer(value: Any) -> Response:
    """JSON in which `msgspec.Raw` parts stand as they are."""
    return Response(msgspec.json.encode(value), media_type="application/json")


@contextmanager
def told_of_texts() -> Iterator[None]:
    """What is wrong with the only text of a list is told of the list, which is the field there is."""
    try:
        yield
    except ArgumentValueError as error:
        if error.argument != "text":
            raise
        place = "texts[0]"
        raise ProblemError(422, str(error).replace("text", place, 1), place) from error


def known_model(service: EmbedderService, name: str | None) -> ServedModel:
    """The model asked for, or the answer 404 with the names of all."""
    try:
        return service.model(name)
    except ConfigurationError as error:
        raise ProblemError(404, str(error), "model") from None
