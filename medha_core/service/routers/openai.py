"""The OpenAI protocol: `POST /v1/embeddings` and `GET /v1/models`, for clients that exist."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from medha_core.errors import ArgumentValueError
from medha_core.service.access import Access, Caller
from medha_core.service.encode import base64_rows, encoded, json_rows
from medha_core.service.models import ServedModel
from medha_core.service.problems import OpenAIRoute, ProblemError
from medha_core.service.routers.common import ERRORS, json_answer, known_model
from medha_core.service.schemas import OpenAIAnswer, OpenAIModel, OpenAIModels, OpenAIRequest
from medha_core.service.service import EmbedderService

_CREATED = 1_735_689_600
"""Clients want a time; the models have none, so it is the first day of 2025 for all."""


def openai_router(service: EmbedderService, access: Access | None = None) -> APIRouter:
    """`/v1/embeddings`, `/v1/models`, `/v1/models/{model}`."""
    access = access or Access()
    router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute, responses=ERRORS)
    Known = Annotated[Caller, Depends(access.caller)]  # noqa: N806 (a type)

    @router.post("/embeddings", response_model=OpenAIAnswer)
    async def embeddings(body: OpenAIRequest, caller: Known) -> Response:
        """The vectors of a text or of a list of texts."""
        texts = _texts(body.input)
        access.limits.check_batch(len(texts), "input")
        known_model(service, body.model)
        options = {"dimensions": body.dimensions, "scope": caller.scope}
        with access.charge(caller) as charge, _named():
            found = await service.vectors(texts, body.model, charge=charge, **options)
        encode: Any = base64_rows if body.encoding_format == "base64" else json_rows
        rows = await encoded(encode, found.array)
        return json_answer(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": row}
                    for index, row in enumerate(rows)
                ],
                "model": found.model,
                "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
            }
        )

    @router.get("/models")
    async def models(_caller: Known) -> OpenAIModels:
        """Every model that can be named."""
        return OpenAIModels(data=[_shown(ServedModel(**each)) for each in service.get_available_models()])

    @router.get("/models/{model:path}")
    async def model(model: str, _caller: Known) -> OpenAIModel:
        """One model."""
        return _shown(known_model(service, model))

    return router


@contextmanager
def _named() -> Iterator[None]:
    """What is wrong with a text is told of `input`, the name that this protocol has for it."""
    try:
        yield
    except ArgumentValueError as error:
        if not error.argument.startswith("text"):
            raise
        raise ProblemError(400, f"input: {error}", "input") from error


def _texts(given: Any) -> list[str]:
    """The texts of `input`; each has something in it."""
    if _is_tokens(given) or (isinstance(given, list) and any(_is_tokens(item) for item in given)):
        raise ProblemError(
            400,
            "input: arrays of tokens cannot be embedded here, for each model has tokens of its own; "
            "send the text (langchain: check_embedding_ctx_length=False)",
            "input",
        )
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ProblemError(400, "input: expected a text, or a list of texts that is not empty", "input")
    for place, text in enumerate(texts):
        if not text.strip():
            raise ProblemError(400, f"input[{place}]: expected a text that is not empty", "input")
    return texts


def _is_tokens(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(token, int) for token in item)


def _shown(config: ServedModel) -> OpenAIModel:
    return OpenAIModel(id=config.name, created=_CREATED, owned_by=config.provider)
