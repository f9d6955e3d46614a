"""``serve`` and ``keys``: collections for others, and who may ask."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from commonspace.cli.arguments import Json
from commonspace.cli.output import print_json, print_line, print_table

KeyPath = Annotated[Path, typer.Argument(metavar="FILE", help="Where the keys are.")]

keys_app = typer.Typer(help="Keys of a service: add, list, revoke.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace serve wiki-index --port 8000")(serve)
    app.add_typer(keys_app, name="keys")


@keys_app.callback(epilog="Example: commonspace keys add service-keys.json ann --scope write")
def keys() -> None:
    """Keys of a service: add, list, revoke."""


def serve(
    collections: Annotated[
        list[str],
        typer.Argument(metavar="COLLECTION...", help="As `commonspace index` makes them."),
    ],
    host: Annotated[
        str, typer.Option(help="Address; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="As `commonspace keys add` makes it.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="[default: as the collection says]")
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show files in here that payloads name as `path`."),
    ] = None,
    read_only: Annotated[bool, typer.Option(help="Refuse writes; another may write.")] = False,
    rate: Annotated[
        float | None,
        typer.Option(help="Requests a second of one key [default: none; 200 with keys]."),
    ] = None,
    upload_mb: Annotated[int, typer.Option(min=1, help="Of one uploaded file.")] = 16,
    batch: Annotated[
        int, typer.Option(min=1, help="Queries of concurrent searches answered together.")
    ] = 64,
    access_log: Annotated[bool, typer.Option(help="Log every request.")] = True,
) -> None:
    """Answer searches over HTTP until interrupted; SIGHUP takes up new versions."""
    from commonspace.service import serve as run
    from commonspace.service.run import default_limits

    limits = default_limits(with_keys=keys is not None, rate=rate, upload_mb=upload_mb)
    run(
        collections,
        host=host,
        port=port,
        keys=keys,
        limits=replace(limits, batch=batch),
        model=model,
        media=media,
        read_only=read_only,
        access_log=access_log,
    )


@keys_app.command(epilog="Example: commonspace keys add service-keys.json ann --scope write")
def add(
    file: KeyPath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.")],
    scope: Annotated[
        Literal["read", "write"], typer.Option(help="Who may write may read too.")
    ] = "read",
    json: Json = False,
) -> None:
    """Make a key and print it: the only time that it is seen."""
    from commonspace.service import KeyFile

    key = KeyFile(file).add(name, scope)
    print_json({"key": key, "name": name, "scope": scope}) if json else print_line(key)


@keys_app.command("list", epilog="Example: commonspace keys list service-keys.json")
def list_(file: KeyPath, json: Json = False) -> None:
    """List who has a key; the keys themselves are not on file."""
    from commonspace.service import KeyFile

    shown = ("id", "name", "scope", "created", "revoked")
    rows = [{name: asdict(key)[name] for name in shown} for key in KeyFile(file).list()]
    if json:
        return print_json({"keys": rows})
    return print_table(shown, [[row[name] for name in shown] for row in rows])


@keys_app.command(epilog="Example: commonspace keys revoke service-keys.json 0123456789ab")
def revoke(
    file: KeyPath,
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    json: Json = False,
) -> None:
    """Refuse a key from now on; a service that runs need not be told."""
    from commonspace.service import KeyFile

    key = KeyFile(file).revoke(id_)
    if json:
        return print_json({"id": key.id, "name": key.name, "revoked": key.revoked})
    return print_line(f"revoked {key.id} of {key.name}")
