"""`medha models pull|list|verify|path`."""

from typing import Annotated, Any

import typer

from medha_core import EmbeddingError
from medha_core.cli.output import download, emit, emit_json
from medha_core.embeddings import models

app = typer.Typer(help="The embedding models kept on this machine.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("pull")
def pull(name: Name = models.DEFAULT_MODEL, json: AsJson = False) -> None:
    """Fetch a model, check it and convert it, unless it is there already."""
    with download(f"fetching {name}") as on_progress:
        folder = models.pull(name, progress=on_progress)
    _say(json, str(folder), model=name, path=str(folder))


@app.command("list")
def list_(json: AsJson = False) -> None:
    """The models this version knows, and which of them are here."""
    known = models.list_models()
    if json:
        emit_json({"models": known})
    for model in [] if json else known:
        emit(f"{model['name']:<28}{'present' if model['present'] else 'absent'}")


@app.command("verify")
def verify(name: Name = models.DEFAULT_MODEL, json: AsJson = False) -> None:
    """Compare the files of a model with their checksums; exit code 2 when one differs."""
    if not models.model_path(name).is_dir():
        raise EmbeddingError(f"the model {name} is not here: medha models pull {name}")
    models.verify(name)
    _say(json, f"{name}: every file has its checksum", model=name, verified=True)


@app.command("path")
def path(name: Name = models.DEFAULT_MODEL, json: AsJson = False) -> None:
    """The folder a model is kept in, whether it is there or not."""
    folder = models.model_path(name)
    _say(json, str(folder), model=name, path=str(folder))


def _say(as_json: bool, text: str, **fields: Any) -> None:
    if as_json:
        emit_json(fields)
    else:
        emit(text)
