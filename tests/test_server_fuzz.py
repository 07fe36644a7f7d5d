"""Requests that schemathesis makes up from the OpenAPI description: none of them is a server error."""

import os

import hypothesis
import msgpack
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from service_harness import Served

from medha_core import EmbedderService, HashingEmbedder, Medha, Settings
from medha_core.service.api_keys import KeyFile
from medha_core.service.app import create_app
from medha_core.service.limits import Limits

EXAMPLES = int(os.environ.get("MEDHA_FUZZ_EXAMPLES", "15"))
"""Of each route, right ones and as many wrong ones; a long run sets more."""

WANTED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
MODES = schemathesis.GenerationMode


def routes():
    """Each method and path of the description."""
    cache = Medha("shop", HashingEmbedder(), settings=Settings(_env_file=None))
    paths = create_app(EmbedderService("hashing"), cache).openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


@schemathesis.serializer("application/msgpack")
def _msgpack(_context, value):
    return msgpack.packb(value)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    cache = Medha("shop", HashingEmbedder(), settings=Settings(path=folder / "cache", _env_file=None))
    keys = KeyFile(folder / "keys.jsonl")
    with Served(EmbedderService("hashing"), cache, keys=keys, limits=Limits(max_batch=100)) as served:
        served.secret = keys.create("fuzz")[1]
        yield served


@pytest.fixture(scope="module")
def description(served):
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


@pytest.mark.parametrize(("method", "path"), routes())
def test_no_request_is_a_server_error(method, path, served, description):
    operation = description[path][method]
    kinds = [operation.as_strategy(generation_mode=mode) for mode in (MODES.POSITIVE, MODES.NEGATIVE)]

    @hypothesis.given(st.one_of(kinds))
    @hypothesis.settings(
        max_examples=2 * EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {served.secret}"}, checks=WANTED)

    ask()
