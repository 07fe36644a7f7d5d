"""What the README promises: its commands, its Python and the output printed below it."""

import ast
import builtins
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

import medha_core
from medha_core import Settings, demo

README = Path(__file__).parents[1] / "README.md"
PACKAGE_PARENT = Path(medha_core.__file__).parents[1]

pytestmark = pytest.mark.skipif(not README.is_file(), reason="the README is not installed with the package")


@pytest.fixture(scope="module")
def readme():
    return README.read_text(encoding="utf-8")


def _blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _sessions(text):
    """Each program that is followed by what it prints."""
    return re.findall(r"^```python\n([^`]*)^```\n\n```text\n([^`]*)^```$", text, re.MULTILINE)


def test_the_python_runs_as_printed(readme, tmp_path):
    sessions = _sessions(readme)
    assert len(sessions) >= 2
    ours = ("MEDHA_MODEL_DIR", "MEDHA_NO_EXTENSION")
    kept = {
        name: value for name, value in os.environ.items() if name in ours or not name.startswith("MEDHA_")
    }
    for session, expected in sessions:
        finished = subprocess.run(
            [sys.executable, "-c", session],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": str(PACKAGE_PARENT), "PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == expected


def test_the_python_that_is_not_run_is_python_that_imports(readme):
    for block in _blocks(readme, "python"):
        tree = compile(block, "README.md", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("medha_core"):
                module = importlib.import_module(node.module)
                assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


def test_the_python_imports_or_defines_every_name_it_uses(readme):
    for block in _blocks(readme, "python"):
        names = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                bound |= {alias.asname or alias.name for alias in node.names}
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                bound |= {node.name, *(argument.arg for argument in node.args.args)}
        assert {node.id for node in names} <= bound, block


def test_the_two_commands_stand_there(readme):
    commands = "".join(_blocks(readme, "sh")).splitlines()
    assert 'pip install ".[onnx,cli]" && medha demo' in commands
    assert "pip install tox && tox" in commands


def test_the_printed_demonstration_is_of_this_sample(readme):
    printed = _blocks(readme, "text")[0]
    asked = [item.question for item in (*demo.paraphrases(), *demo.must_miss())]
    shown = [line for line in printed.splitlines() if line.startswith(tuple(asked))]
    assert len(shown) >= 8
    assert f"{len(demo.pairs())} questions stored, {len(asked)} asked" in printed


def test_the_settings_have_the_defaults_printed(readme):
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", readme, re.MULTILINE)
    assert len(rows) >= 5
    for name, printed in rows:
        default = Settings.model_fields[name].default
        assert default is not PydanticUndefined
        assert _printed(default) == printed, name


def _printed(default):
    return "none" if default is None else f"`{default}`" if isinstance(default, str) else f"{default:g}"


def test_the_errors_are_public(readme):
    names = re.findall(r"^\| `(\w+Error)`", readme, re.MULTILINE)
    assert names
    for name in names:
        assert issubclass(getattr(medha_core, name), medha_core.MedhaError)


def test_the_drawing_uses_the_nouns_of_the_library(readme):
    drawing = _blocks(readme, "")[0]
    for noun in ("Question", "Entry", "Hit", "Embedder", "Store", "L1", "Index", "Guard"):
        assert noun in drawing
