"""What the small JSON files of a sentence-transformers folder say about its use."""

import json
from pathlib import Path
from typing import Any, Literal

from medha_core.errors import ConfigurationError


def pooling(path: Path) -> Literal["mean", "cls"]:
    """`mean` or `cls`; a folder that says nothing is pooled by the mean."""
    modules = read_json(path / "modules.json", [])
    unknown = {str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules} - {
        "Transformer",
        "Pooling",
        "Normalize",
    }
    if unknown:
        raise ConfigurationError(f"{path / 'modules.json'}: cannot convert the module {sorted(unknown)[0]}")
    config = read_json(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise ConfigurationError(f"{path / '1_Pooling'}: expected mean or cls pooling, got {modes}")
    return known[modes[0]]


def max_tokens(path: Path, positions: int) -> int:
    """Where texts are cut: what the folder says, at most `positions`."""
    config = read_json(path / "sentence_bert_config.json", {})
    return min(positions, int(config.get("max_seq_length") or positions))


def read_json(file: Path, default: Any = None) -> Any:
    """The content of a JSON file; `default` when it is missing and a default is given."""
    if default is not None and not file.is_file():
        return default
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
