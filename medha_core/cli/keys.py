"""`medha keys`: makes, lists and revokes the API keys of `medha serve`."""

from pathlib import Path
from typing import Annotated

import typer

from medha_core.cli.output import OK, emit, emit_json, note
from medha_core.service.api_keys import ApiKey, KeyFile, default_key_file

app = typer.Typer(help="API keys for medha serve; the file keeps only their sha256.", no_args_is_help=True)

File = Annotated[Path | None, typer.Option("--file", help="The file of keys [MEDHA_KEYS].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whom or what the key is for.")],
    collection: Annotated[
        list[str] | None, typer.Option(help="A collection it may touch; repeat it for more. Without: all.")
    ] = None,
    file: File = None,
    json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    keys = _open(file)
    key, secret = keys.create(name, tuple(collection) if collection else None)
    if json:
        emit_json(_shown(key) | {"key": secret})
    else:
        emit(secret)
    note(f"key {key.id} for {_reach(key)} is in {keys.path}; it is not shown again")
    raise typer.Exit(OK)


@app.command("list")
def list_keys(file: File = None, json: AsJson = False) -> None:
    """Print the keys that were made, without their secrets."""
    keys = _open(file).all()
    if json:
        emit_json({"keys": [_shown(key) for key in keys]})
    for key in () if json else keys:
        state = f"revoked {key.revoked}" if key.revoked else "active"
        emit(f"{key.id}  {key.created}  {state}  {key.name}  {_reach(key)}")
    raise typer.Exit(OK)


@app.command("revoke")
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `medha keys list` prints it.")],
    file: File = None,
) -> None:
    """End a key; a running server refuses it within a second."""
    key = _open(file).revoke(identity)
    emit(f"{key.id} is revoked")
    raise typer.Exit(OK)


def _open(file: Path | None) -> KeyFile:
    return KeyFile(default_key_file() if file is None else file)


def _reach(key: ApiKey) -> str:
    return "all collections" if key.collections is None else ", ".join(map(repr, key.collections))


def _shown(key: ApiKey) -> dict[str, object]:
    return {name: value for name, value in vars(key).items() if name != "sha256"}
