"""The commands, and the one place where an error becomes a line and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from medha_core import MedhaError, __version__
from medha_core.cli import (
    demo,
    doctor,
    embed_cache,
    explain,
    export,
    forgetting,
    keeping,
    keys,
    logo,
    migrate,
    models,
    reembed,
    search,
    serve,
    snapshot,
    tune,
    warm,
)
from medha_core.cli.options import AsJson, Collection, Directory, Model
from medha_core.cli.output import ERROR, OK, emit, note, settings_problem

_USAGE_ERROR = typer.BadParameter.__mro__[1]
"""Base of what typer raises for a bad command line; its module differs between typer's versions."""

app = typer.Typer(
    help="A semantic cache: questions in, the queries already written for them out.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(embed_cache.app, name="embed-cache")
app.add_typer(snapshot.app, name="snapshot")
for more in (serve, keeping, export, forgetting, logo):
    app.add_typer(more.app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    # What the library logs is in the error's line already.
    logger = logging.getLogger("medha_core")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    # Text that the terminal's encoding lacks is escaped, never a traceback.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return app(args=list(arguments), prog_name="medha", standalone_mode=False) or OK
    except BrokenPipeError:
        # The reader went away; Python's own flush at exit must not find the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (MedhaError, OSError) as error:
        note(str(error))
    except ValidationError as error:
        note(settings_problem(error))
    except _USAGE_ERROR as error:
        note(f"{error.format_message()} (medha --help)")
    except KeyboardInterrupt:
        note("interrupted")
        return 130
    return ERROR


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        emit(f"medha-core {__version__}")
        raise typer.Exit(OK)
    if context.invoked_subcommand is None:
        emit(context.get_help())


@app.command("demo")
def demo_command(json: AsJson = False) -> None:
    """Ask a cache filled with questions about a small shop, and run the SQL it returns."""
    raise typer.Exit(demo.command(as_json=json))


@app.command("warm")
def warm_command(
    file: Annotated[
        Path, typer.Argument(help="JSON array or JSONL of objects with question, generated_query.")
    ],
    collection: Collection = None,
    path: Directory = None,
    model: Model = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Entries embedded at once [MEDHA_BATCH_SIZE].")
    ] = None,
    ttl: Annotated[
        int | None, typer.Option(min=1, help="Seconds the entries live [MEDHA_DEFAULT_TTL_SECONDS].")
    ] = None,
    json: AsJson = False,
) -> None:
    """Store the questions and queries of a file."""
    raise typer.Exit(
        warm.command(file, collection, path, model, batch_size=batch_size, ttl=ttl, as_json=json)
    )


@app.command("search")
def search_command(
    question: str,
    collection: Collection = None,
    path: Directory = None,
    model: Model = None,
    warm_from: Annotated[Path | None, typer.Option("--warm", help="Store this file's entries first.")] = None,
    explain: Annotated[bool, typer.Option(help="Print what each tier saw.")] = False,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            metavar="KEY=VALUE",
            help="Only entries with this metadata; numbers, true and false are such, '\"5\"' is text.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Print the query stored for QUESTION; exit code 1 when there is none."""
    raise typer.Exit(
        search.command(
            question,
            collection,
            path,
            model,
            warm_from=warm_from,
            explain=explain,
            filters=filters or [],
            as_json=json,
        )
    )


@app.command("explain")
def explain_command(
    question: str,
    collection: Collection = None,
    path: Directory = None,
    model: Model = None,
    warm_from: Annotated[Path | None, typer.Option("--warm", help="Store this file's entries first.")] = None,
    json: AsJson = False,
) -> None:
    """Say in words why QUESTION is answered or not; exit code 1 when it is not."""
    raise typer.Exit(explain.command(question, collection, path, model, warm_from=warm_from, as_json=json))


@app.command("tune")
def tune_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON array or JSONL: question, stored_question, stored_query, correct; "
            "or question, generated_query, where several questions have the same query."
        ),
    ],
    model: Model = None,
    max_error_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0001, max=1.0, help="The error to recommend a setting for [MEDHA_MAX_ERROR_RATE]."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write what was measured, for MEDHA_CALIBRATION_FILE.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw hit rate against precision into this file.")] = None,
    json: AsJson = False,
) -> None:
    """Measure the guard on your own questions, and choose its confidence."""
    raise typer.Exit(
        tune.command(file, model, max_error_rate=max_error_rate, out=out, plot=plot, as_json=json)
    )


@app.command("reembed")
def reembed_command(
    directory: Annotated[Path, typer.Argument(help="Directory of a cache that nobody writes meanwhile.")],
    model: Model = None,
    collection: Collection = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Entries embedded at once [MEDHA_BATCH_SIZE].")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make the vectors of a cache anew with another model; run again, it goes on where it was interrupted."""
    raise typer.Exit(reembed.command(directory, model, collection, batch_size=batch_size, as_json=json))


@app.command("migrate")
def migrate_command(
    source: Annotated[str, typer.Option("--from", help="Address of the store to read.")],
    target: Annotated[str, typer.Option("--to", help="Address of the store to write.")],
    collection: Annotated[str | None, typer.Option(help="Only this collection.")] = None,
    json: AsJson = False,
) -> None:
    """Move collections between any two stores, verified; run it again after an interruption to go on.

    Addresses are a directory, or URLs such as postgresql://, qdrant://, chroma://,
    lancedb://, redis://; keys and prefixes come from MEDHA_ settings. The source is only read.
    """
    raise typer.Exit(migrate.command(source, target, collection, as_json=json))


@app.command("doctor")
def doctor_command(model: Model = None, json: AsJson = False) -> None:
    """Print what is installed, what runs on this machine, and the result of a self-test."""
    raise typer.Exit(doctor.command(model, as_json=json))
