"""Where each check that a cache of this kind must pass has its test: none may be lost when tests move."""

import ast
from pathlib import Path

import pytest

CHECKS = {
    "1 a first-level hit needs no embedder": "test_medha_failures.test_P1_",
    "2 collections never answer for one another": "test_medha_failures.test_W2_",
    "3 a question stored again returns the new query": "test_medha_failures.test_W3_",
    "4 the default lifetime holds on every way of storing": "test_medha_failures.test_T1_T2_",
    "5 no paraphrase gets what was forgotten": "test_medha_failures.test_T3_",
    "6 another number, name, negation or order is no hit": "test_medha_failures.test_W4_W5_",
    "7 each of 600 tenants gets its own row": "test_medha_failures.test_P4_",
    "7 a tenant of ten among very many gets its ten": "test_stores.test_a_tenant_of_ten_among_many",
    "8 unfiltered searches give no scoped entries": "test_medha_failures.test_W8_",
    "9 synchronous calls from threads and in a loop": "test_medha_failures.test_P5_",
    "10 cancelling one who waits cancels only that one": "test_medha_failures.test_P6_",
    "11 a kill while saving leaves a store that opens": "test_medha_failures.test_T5_",
    "12 another model or dimension is refused": "test_medha_failures.test_W14_",
    "13 names that look alike are three collections": "test_medha_failures.test_W11_",
    "14 miss and hit are the same bits": "test_embedding_cache_file.test_14_",
    "15 damage is computed again": "test_embedding_cache_file.test_15_",
    "16 a failed render lends no score": "test_medha_failures_tools.test_W7_",
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_check_has_its_test(check):
    module, _, start = CHECKS[check].partition(".")
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert [one.name for one in ast.walk(tree) if isinstance(one, functions) and one.name.startswith(start)]
