"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Collection = Annotated[
    str | None, typer.Option("--collection", "-c", help="Collection of the cache [MEDHA_COLLECTION].")
]
Directory = Annotated[
    Path | None, typer.Option(help="Directory of the cache [MEDHA_PATH]; in memory without.")
]
Kept = Annotated[Path | None, typer.Option("--path", help="Directory of the cache [MEDHA_PATH].")]
Model = Annotated[
    str | None, typer.Option(help="A model's name or directory, 'provider:model', or 'hashing'.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
