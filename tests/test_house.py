"""The rules of the house: who imports whom, what is documented, what importing does."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medha_core
from medha_core import _twin, native

PACKAGE = Path(medha_core.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

# From top to bottom: a layer may import those above it and itself. Steps do not import each other.
LAYERS = {
    "words": "errors types metadata arrays index_arguments index_file logging_setup histogram tokens "
    "concurrency",
    "core": "_core _twin native",
    "contracts": "settings interfaces normalise trace scope reading directory manifest vectors",
    "steps": "metrics l1 templates parameters embedding index rows guard stats files pairs tables "
    "frames logs",
    "flow": "deciding learning waterfall embedded snapshot writer engines urls migration",
    "facade": "medha acts stores embedding_cache",
    "adapters": "embeddings backends l1_cache",
    "edge": "service cli integrations demo testing utils config core exceptions logging __init__ __main__",
}
ORDER = list(LAYERS)
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names.split()}
# Modules that only give another module's class the path it has in the Medha library.
ALIASES = {"backends", "backends.memory", "l1_cache", "l1_cache.memory"}
ADAPTERS_MAY_IMPORT = {"words", "core", "contracts", "adapters"}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])


def top(name):
    return name.split(".")[0]


def parsed(path):
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(tree):
    """The modules of ours that a file imports, with whether that is inside a function."""
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        for name in imported_names(node):
            if top(name) == "medha_core":
                yield name.partition(".")[2] or "__init__", id(node) in lazy


def imported_names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"line {node.lineno}: imports are absolute"
    if node.module != "medha_core":
        return [node.module]
    names = [alias.name for alias in node.names]
    return [f"medha_core.{n}" if n in LAYER_OF else "medha_core" for n in names]


def may_import(importer, imported, is_lazy):
    ours, theirs = LAYER_OF[top(importer)], LAYER_OF[top(imported)]
    if top(importer) == top(imported) or importer in ALIASES or ours == "edge":
        return True
    if ours == "adapters":
        return theirs in ADAPTERS_MAY_IMPORT
    if theirs == "adapters":
        return is_lazy
    if ours == theirs == "steps":
        return False
    return ORDER.index(theirs) <= ORDER.index(ours)


def test_every_module_has_a_layer():
    unknown = sorted({top(module_name(path)) for path in FILES} - set(LAYER_OF))
    assert not unknown, f"give these modules a layer in LAYERS: {unknown}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_upwards_only(path):
    name = module_name(path)
    for imported, is_lazy in imports(parsed(path)):
        assert top(imported) in LAYER_OF, f"{imported} has no layer"
        assert may_import(name, imported, is_lazy), (
            f"{name} ({LAYER_OF[top(name)]}) imports {imported} ({LAYER_OF[top(imported)]})"
        )


def public_definitions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_public_names_are_documented(path):
    tree = parsed(path)
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"
    undocumented = [name for name, node in public_definitions(tree).items() if not ast.get_docstring(node)]
    assert not undocumented or LAYER_OF[top(module_name(path))] == "edge"


def listed(tree):
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
    return []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_what_a_module_lists_is_in_it(path):
    names = listed(parsed(path))
    assert len(names) == len(set(names))
    if names and LAYER_OF[top(module_name(path))] not in {"adapters", "edge"}:
        module = importlib.import_module(f"medha_core.{module_name(path)}")
        assert not [name for name in names if not hasattr(module, name)]


def test_the_public_names_of_the_package_are_listed_and_documented():
    assert len(set(medha_core.__all__)) == len(medha_core.__all__)
    assert set(medha_core.__all__) <= set(dir(medha_core))
    assert not [name for name in medha_core.__all__ if not inspect.getdoc(getattr(medha_core, name))]


def test_type_checkers_see_the_names_that_programs_see():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.asname for node in imported for alias in node.names) == sorted(medha_core._HOME_OF)
    assert set(medha_core.__all__) <= set(medha_core._HOME_OF)
    for node in imported:
        module = importlib.import_module(node.module)
        assert all(getattr(module, a.name) is getattr(medha_core, a.asname) for a in node.names)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = medha_core.Nothing


def is_justified(line):
    """Whether a handler says why it must catch what foreign code may raise."""
    return len(line.partition("# noqa: BLE001")[2].split()) > 3


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_handler_swallows_everything(path):
    lines = path.read_text("utf-8").splitlines()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"all"}
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            blind = not raises and caught & {"all", "Exception", "BaseException"}
            assert not blind or is_justified(lines[node.lineno - 1]), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_runs_foreign_data(path):
    for node in ast.walk(parsed(path)):
        names = {top(name) for name in imported_names(node)}
        assert not names & {"pickle", "marshal", "shelve", "dill"}, f"line {node.lineno}"
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") not in {"eval", "exec"}, f"line {node.lineno}"


def run_python(code, **environment):
    kept = {k: v for k, v in os.environ.items() if k != "MEDHA_NO_EXTENSION"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=kept | environment, check=False)


IMPORT_UNDER_WATCH = """
import sys, threading
seen = []
watched = {"open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "_thread.start_new_thread"}
def watch(event, arguments):
    if event in watched:
        seen.append((event, str(arguments[0])))
import importlib.util, os
package = os.path.dirname(importlib.util.find_spec("medha_core").origin)
sys.addaudithook(watch)
import medha_core
code = (".py", ".pyc", ".so", ".pyd")
own = lambda path: path.startswith((package, os.getcwd(), os.path.expanduser("~")))
for event, what in list(seen):
    assert event == "open", (event, what)
    assert what.endswith(code) or ".pyc." in what or "dist-info" in what or not own(what), what
assert threading.active_count() == 1
heavy = {"onnxruntime", "onnx", "tokenizers", "typer", "rich", "pandas"} & set(sys.modules)
heavy |= {"redis", "prometheus_client", "regex", "spacy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_opens_no_file_and_starts_nothing(tmp_path):
    done = run_python(IMPORT_UNDER_WATCH, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_the_extension_runs_unless_it_is_turned_off():
    off = os.environ.get("MEDHA_NO_EXTENSION") == "1"
    assert native.extension_loaded is not off
    assert native.LRUCache.__module__ == ("medha_core._twin.lru" if off else "medha_core._core")


def test_the_twins_run_when_asked_for():
    done = run_python(
        "from medha_core.native import LRUCache; print(LRUCache.__module__)", MEDHA_NO_EXTENSION="1"
    )
    assert done.stdout.strip() == "medha_core._twin.lru", done.stderr


def test_a_missing_extension_is_one_clear_sentence():
    done = run_python("import sys; sys.modules['medha_core._core'] = None; import medha_core.native")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "ImportError: medha_core._core, the compiled part of medha_core, cannot be imported"
    )
    assert "pip install ." in last


# What tests of compiled parts alone look at.
NATIVE_PROBES = {"bit_distance"}
MAKE = {"LRUCache": lambda cls: cls(1), "VectorIndex": lambda cls: cls(4)}


def public_members(cls):
    return {name for name in dir(MAKE[cls.__name__](cls)) if name[0] != "_"}


@pytest.mark.parametrize("name", [name for name in native.__all__ if name != "extension_loaded"])
def test_twins_look_alike(name):
    if os.environ.get("MEDHA_NO_EXTENSION") == "1":
        pytest.skip("the extension is turned off")
    compiled, twin = getattr(importlib.import_module("medha_core._core"), name), getattr(_twin, name)
    if inspect.isclass(twin):
        assert public_members(compiled) - NATIVE_PROBES == public_members(twin)
    else:
        assert list(inspect.signature(compiled).parameters) == list(inspect.signature(twin).parameters)
