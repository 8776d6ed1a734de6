"""The command line: one thin function a command, one file a noun.

A command parses, calls one function of the library and prints.  Heavy imports happen inside it.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Annotated

import typer

from .. import __version__
from . import (
    audit,
    calibrate,
    cluster,
    compare,
    data,
    detect,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    gallery,
    gallery_encryption,
    gallery_files,
    gallery_migrate,
    identify,
    models,
    pairs,
    predict,
    program,
    report,
    serve,
    train,
    video,
)
from .console import show
from .options import current_name

HELP = """How alike two faces are, and how sure you may be.

Exit codes: 0 done (compare, gallery verify: the same person; identify: a match; gallery check: whole;
doctor: no problem; audit: no label in doubt), 1 compare, gallery verify: different people; identify: unknown
or uncertain; gallery check: damaged; doctor: a problem; audit: labels in doubt or copies, 2 an error, 3 no
face found, 4 several faces where --face only allows one, 70 a fault of facealike, 130 interrupted.  Errors
are one line on stderr; with --json also an object with `error` and `message` on stdout.
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": current_name},
)  # fmt: skip
app.command()(compare.compare)
app.command()(explain.explain)
app.command()(predict.predict)
app.command()(identify.identify)
app.command()(cluster.cluster)
app.command()(audit.audit)
app.command()(video.video)
app.command()(detect.detect)
app.command()(embed.embed)
app.command()(pairs.pairs)
app.command()(evaluate.evaluate)
app.command()(calibrate.calibrate)
app.command()(train.train)
app.command()(train.recipes)
app.command()(export.export)
app.command()(report.report)
app.command()(doctor.doctor)
app.add_typer(data.app, name="data")
gallery.app.command()(gallery_files.compact)
gallery.app.command()(gallery_files.export)
gallery.app.command("import")(gallery_files.import_)
gallery.app.command()(gallery_migrate.migrate)
gallery.app.command()(gallery_encryption.new_key)
gallery.app.command()(gallery_encryption.encrypt)
gallery.app.command()(gallery_encryption.decrypt)
gallery.app.command()(gallery_encryption.rekey)
app.add_typer(gallery.app, name="gallery")
app.add_typer(serve.app, name="serve")
app.add_typer(models.model_app, name="model")
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        show(f"facealike {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line on the arguments of this process, and exit."""
    # Pillow also remarks on damage; here every remark about a photo is the one sentence of its error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    sys.exit(program.run(app))
