"""`medha logo`."""

import typer

from medha_core import __version__
from medha_core.cli.options import AsJson
from medha_core.cli.output import emit, emit_json

app = typer.Typer()

_LOGO = r"""
                      _ _
  _ __ ___   ___   __| | |__   __ _
 | '_ ` _ \ / _ \ / _` | '_ \ / _` |
 | | | | | |  __/| (_| | | | | (_| |
 |_| |_| |_|\___| \__,_|_| |_|\__,_|
"""


@app.command("logo")
def logo_command(json: AsJson = False) -> None:
    """Print the name in large letters, with the version."""
    if json:
        emit_json({"name": "medha", "version": __version__})
        return
    emit(f"{_LOGO.strip(chr(10))}\n  a question in, its query out   {__version__}")
