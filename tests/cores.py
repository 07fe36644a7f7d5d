"""What tests of the native core need, apart from everything else so that they run without it."""

import importlib
import os
from types import ModuleType

import pytest
from hypothesis import settings

# A busy machine is no failure: examples have no time limit. Where a change is checked (CI) they are the same
# each time: what fails is the change. MEDHA_EXAMPLES=5000 makes a campaign of the tests that name no number
# of their own, with other examples each time.
CAMPAIGN = os.environ.get("MEDHA_EXAMPLES")
settings.register_profile(
    "steady",
    deadline=None,
    max_examples=int(CAMPAIGN or 100),
    derandomize="CI" in os.environ and not CAMPAIGN,
)
settings.load_profile("steady")

CORES = {"extension": "medha_core._core", "twin": "medha_core._twin"}
if os.environ.get("MEDHA_NO_EXTENSION") == "1":
    del CORES["extension"]


@pytest.fixture(params=CORES, scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """The native core and its Python twin, one after the other; a missing extension is a failure."""
    return importlib.import_module(CORES[request.param])
