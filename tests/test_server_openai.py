"""The OpenAI protocol, spoken by the vendor's own client over a real socket."""

import base64

import httpx
import numpy as np
import openai
import pytest
from service_harness import Counted, Served, vector_of

from medha_core import EmbedderService
from medha_core.service.limits import Limits


@pytest.fixture(scope="module")
def model():
    return Counted()


@pytest.fixture(scope="module")
def served(model):
    small = Counted("text-embedding-3-small", 1536)
    service = EmbedderService(
        "counted",
        embedders={"counted": model.embedder, "text-embedding-3-small": small.embedder},
    )
    with Served(service, limits=Limits(max_batch=50)) as served:
        yield served


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def unit(text, dimension=8):
    vector = vector_of(text, dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_a_text(client):
    answer = client.embeddings.create(model="counted", input="How many orders?")
    assert answer.object == "list"
    assert answer.model == "counted"
    (data,) = answer.data
    assert (data.object, data.index) == ("embedding", 0)
    np.testing.assert_allclose(data.embedding, unit("How many orders?"), rtol=1e-6)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)


def test_a_list_keeps_its_order(client):
    answer = client.embeddings.create(model="counted", input=["b", "a", "b"])
    assert [data.index for data in answer.data] == [0, 1, 2]
    np.testing.assert_allclose([data.embedding for data in answer.data], [unit(t) for t in "bab"], rtol=1e-6)


def test_float_and_base64_are_the_same_bits(client):
    plain = client.embeddings.create(model="counted", input="a", encoding_format="float").data[0].embedding
    coded = client.embeddings.create(model="counted", input="a", encoding_format="base64").data[0].embedding
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == plain


def test_nulls_are_what_is_left_out(served):
    body = {"model": "counted", "input": "a", "encoding_format": None, "dimensions": None, "user": None}
    answer = httpx.post(f"{served.url}/v1/embeddings", json=body)
    assert isinstance(answer.json()["data"][0]["embedding"], list)


def test_dimensions(client):
    answer = client.embeddings.create(model="text-embedding-3-small", input="a", dimensions=256)
    short = unit("a", 1536)[:256]
    np.testing.assert_allclose(answer.data[0].embedding, short / np.linalg.norm(short), rtol=1e-5, atol=1e-7)
    assert len(client.embeddings.create(model="counted", input="a", dimensions=8).data[0].embedding) == 8
    with pytest.raises(openai.BadRequestError, match="dimensions: expected 8"):
        client.embeddings.create(model="counted", input="a", dimensions=4)


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_arrays_are_a_clear_400(client, tokens):
    with pytest.raises(openai.BadRequestError, match="arrays of tokens cannot be embedded here") as told:
        client.embeddings.create(model="counted", input=tokens)
    assert told.value.body["param"] == "input"
    assert told.value.body["type"] == "invalid_request_error"


@pytest.mark.parametrize("wrong", ["", "  ", [], ["a", ""], "a\0b", ["a", "b\0"], "x" * 50_000])
def test_input_that_cannot_be_embedded_is_a_400(client, wrong):
    with pytest.raises(openai.BadRequestError, match="input") as told:
        client.embeddings.create(model="counted", input=wrong)
    assert told.value.body["param"] == "input"


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, ["a", 1], ["a", None], [["a"]], [[]]])
def test_input_of_another_kind_is_a_400(served, wrong):
    answer = httpx.post(f"{served.url}/v1/embeddings", json={"model": "counted", "input": wrong})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input"


def test_fields_that_are_missing_or_wrong_are_a_400(served):
    for body, param in (
        ({"input": "a"}, "model"),
        ({"model": "counted"}, "input"),
        ({"model": "counted", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "counted", "input": "a", "dimensions": 0}, "dimensions"),
    ):
        answer = httpx.post(f"{served.url}/v1/embeddings", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_fields_of_newer_clients_are_ignored(client):
    answer = client.embeddings.create(
        model="counted", input="a", user="somebody", extra_body={"input_type": "query"}
    )
    assert len(answer.data) == 1


def test_an_unknown_model_is_a_404(client):
    with pytest.raises(openai.NotFoundError, match="unknown model 'nope'"):
        client.embeddings.create(model="nope", input="a")


def test_a_batch_that_is_too_large_is_a_413(client):
    with pytest.raises(openai.APIStatusError) as told:
        client.embeddings.create(model="counted", input=["a"] * 51)
    assert told.value.status_code == 413


def test_models(client):
    models = {model.id: model for model in client.models.list()}
    assert {"counted", "all-MiniLM-L6-v2", "text-embedding-3-large"} <= set(models)
    assert models["text-embedding-3-small"].object == "model"
    assert client.models.retrieve("text-embedding-3-large").owned_by == "openai"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


async def test_the_asynchronous_client(served):
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="unused") as client:
        answer = await client.embeddings.create(model="counted", input=["a", "b"])
    assert len(answer.data) == 2


def test_a_failing_model_is_a_server_error(client, model):
    model.failing = RuntimeError("out of order")
    try:
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="counted", input="never asked before")
    finally:
        model.failing = None
