"""``facealike serve``: the HTTP service and its keys."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..utils.extras import needs_extra
from .console import command, print_json, print_table, show
from .options import JsonOption, KeyFileOption, ModelOption

if TYPE_CHECKING:
    from ..embedding.face_model import Model
    from ..service.api_keys import KeyFile

PURPOSE = "the service"

app = typer.Typer(
    help="Answer over HTTP, with a page in the browser; serve keys manages who may ask.",
    invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...",
)  # fmt: skip
keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may ask the service, and for what.")
app.add_typer(keys_app, name="keys")


class ScopeChoice(str, Enum):
    """``service.api_keys.Scope`` once more, as typer wants it."""

    read = "read"
    enroll = "enroll"
    admin = "admin"


class LogChoice(str, Enum):
    """The request logs of ``service.settings.ServiceSettings`` once more, as typer wants them."""

    text = "text"
    json = "json"
    none = "none"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="A TOML file of settings; see the guide."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of galleries, keys and the audit log."),
]


@app.callback()
def serve(
    context: typer.Context,
    config: ConfigOption = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Address to listen on: 127.0.0.1, this machine alone."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="PORT", help="8000 by default; 0 takes a free one.")
    ] = None,
    data: DataOption = None,
    model: ModelOption = None,
    device: Annotated[
        str | None, typer.Option("--device", "-d", metavar="DEVICE", help="auto (default), cpu or cuda:N.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            help="Processes that find and embed faces: 0 (default) is one a core, 1 threads of the service.",
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="N", help="Requests a minute of one key; 0 sets no limit."),
    ] = None,
    key_file: KeyFileOption = None,
    log: Annotated[
        LogChoice | None, typer.Option("--log", help="Lines of the request log: text (default), json, none.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no request log: --log none.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Answer over HTTP until Ctrl-C, with a page in the browser at the printed address.

    Only this machine can connect, unless --host says otherwise; that needs a key (facealike serve keys
    add).  Every setting can also be a variable of the environment or a line of a TOML file; an option wins
    over the environment, and the environment over the file: see the guide.

    Exit code: 0 stopped, 2 an error.
    """
    if context.invoked_subcommand is None:
        chosen = "none" if quiet else None if log is None else log.value
        run(as_json, config=config, host=host, port=port, data=data, model=model, device=device, rate=rate,
            processes=processes, key_file=key_file, log=chosen)  # fmt: skip


@command
def run(as_json: bool, **stated: Any) -> None:
    """Run the service with the stated settings, and those of the environment and the file."""
    with needs_extra("serve", PURPOSE):
        from ..service.log_lines import start_log
        from ..service.server import serve as answer
        from ..service.settings import read_settings

    def ready(address: str, model: Model) -> None:
        if as_json:
            print_json({"address": address, "model": model.id, "device": model.device})
        else:
            show(f"facealike answers at {address} (Ctrl-C stops it)")
        sys.stdout.flush()  # the command goes on, and a pipe would keep the line

    settings = read_settings(**stated)
    start_log(settings.log)
    answer(settings, ready)


def key_file(config: Path | None, data: Path | None) -> KeyFile:
    """Return the file of keys in a folder, or in the one that the service takes by default."""
    with needs_extra("serve", PURPOSE):
        from ..service.api_keys import KeyFile
        from ..service.settings import read_settings
    return KeyFile(read_settings(config, data=data).keys)


@keys_app.command()
@command
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Who will use it.")],
    scope: Annotated[
        ScopeChoice,
        typer.Option(
            "--scope",
            help="read: compare, identify, verify; enroll: also enroll; admin: also forget.",
        ),
    ] = ScopeChoice.read,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it: it is shown this once, and only its hash is kept.

    Exit code: 0, or 2 on an error.
    """
    made = key_file(config, data).add(name, scope.value)
    if as_json:
        print_json({"key": made.key, **made.record.to_dict()})
    else:
        show(made.key)


@keys_app.command("list")
@command
def list_(config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List all keys, revoked ones too, without the keys themselves.  Exit code: 0, or 2 on an error."""
    records = key_file(config, data).records()
    if as_json:
        print_json({"keys": [record.to_dict() for record in records]})
        return
    rows = [[one.id, one.name, one.scope, one.created, one.revoked or "-"] for one in records]
    print_table(["id", "name", "scope", "created", "revoked"], rows)


@keys_app.command()
@command
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The key's id.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key for good, at once, also in a service that runs.  Exit code: 0, or 2 without such a key."""
    record = key_file(config, data).revoke(number)
    if as_json:
        print_json(record.to_dict())
    else:
        show(f"{record.id} ({record.name}): revoked")
