"""What tests of the native core need, apart from everything else so that they run without it."""

import importlib
import os
from types import ModuleType

import pytest
from hypothesis import settings

# A busy machine is no failure: examples have no time limit. MEDHA_EXAMPLES=5000 makes a campaign of the tests
# that name no number of their own.
settings.register_profile("steady", deadline=None, max_examples=int(os.environ.get("MEDHA_EXAMPLES", "100")))
settings.load_profile("steady")

CORES = {"extension": "medha_core._core", "twin": "medha_core._twin"}
if os.environ.get("MEDHA_NO_EXTENSION") == "1":
    del CORES["extension"]


@pytest.fixture(params=CORES, scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """The native core and its Python twin, one after the other; a missing extension is a failure."""
    return importlib.import_module(CORES[request.param])
