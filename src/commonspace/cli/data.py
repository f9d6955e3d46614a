"""``data``: what data sets there are, what is in one, and how to bring one in."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, parse_list, parse_pairs, parse_value
from commonspace.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from commonspace.data import Dataset, Modality, Splits
    from commonspace.types import JsonDict

app = typer.Typer(help="List, show, import and check data sets.", no_args_is_help=True)


@app.callback(epilog="Example: commonspace data show wikipedia")
def data() -> None:
    """List, show, import and check data sets."""


@app.command("list", epilog="Example: commonspace data list --data-root ~/datasets")
def list_(data_root: DataRoot = None, json: Json = False) -> None:
    """List the data sets known by name, and whether they are here."""
    from commonspace.data import list_datasets

    rows: list[JsonDict] = [
        {
            "name": entry.name,
            "available": entry.available,
            "items": dict(entry.n_items),
            "classes": entry.n_classes,
            "labels": entry.label_kind,
            "paired": entry.paired,
            "provenance": entry.provenance,
            "how_to_get": entry.how_to_get,
        }
        for entry in list_datasets(root=data_root)
    ]
    if json:
        return print_json({"datasets": rows})
    header = ["name", "here", "classes", "labels", "paired", "modalities (items)"]
    return print_table(header, [_known(row) for row in rows])


@app.command(epilog="Example: commonspace data show photos.mat")
def show(data: Data, data_root: DataRoot = None, json: Json = False) -> None:
    """Show what a data set holds; of a file, its arrays or columns."""
    if Path(data).is_file():
        return _show_file(Path(data), json)
    from commonspace.data import load_dataset

    return _show_splits(load_dataset(data, root=data_root), json)


@app.command(
    "import",
    epilog="Example: commonspace data import photos.csv --out photos --modality text=caption",
)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table or a file of arrays.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the data set goes.")],
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY",
            help='A modality and its column or key, or one key a split: NAME={"train": KEY, ...}. '
            "[default: all there are]",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Of the labels; of arrays also MODALITY=KEY."),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="KEY", help="Of the split.")] = None,
    item: Annotated[str | None, typer.Option(metavar="KEY", help="Of the item ids.")] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Names of the classes, in order.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=KIND", help="vector, npy, path or text (tables)."),
    ] = None,
    label_base: Annotated[
        int | None, typer.Option(help="Number of the first class, 0 or 1 (arrays).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the data set.")] = None,
    json: Json = False,
) -> None:
    """Read a file and write a data set folder."""
    from commonspace.data import import_file
    from commonspace.data.formats.tables import TABLE_SUFFIXES

    table = file.suffix.lower() in TABLE_SUFFIXES
    options: dict[str, Any] = {
        "modalities": _modalities(modality),
        "label" if table else "labels": _labels(label),
        "split": split,
        "item" if table else "items": item,
        "classes": parse_list(classes),
        "kinds": parse_pairs("--kind", kind) if kind else None,
        "label_base": label_base,
        "name": name,
    }
    splits = import_file(
        file, **{key: value for key, value in options.items() if value is not None}
    )
    splits.save(out)
    _show_splits(splits, json, folder=out)


@app.command(epilog="Example: commonspace data check photos")
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data set folder.")],
    json: Json = False,
) -> None:
    """Verify checksums, shapes, ids and that numbers are finite; exit with 2 if any is wrong."""
    from commonspace.data.checking import check_dataset

    problems = check_dataset(folder)
    if json:
        print_json({"folder": str(folder), "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            print_line(problem)
        print_line(f"{folder}: {len(problems)} problems" if problems else f"{folder}: all is well")
    if problems:
        raise typer.Exit(2)


def describe_splits(splits: Splits) -> JsonDict:
    """What a data set holds, as JSON."""
    return {
        "name": splits.name,
        "classes": list(splits.classes),
        "splits": {
            split: {name: _describe_part(part) for name, part in data.items()}
            for split, data in splits.items()
        },
        "pairs": {split: _pairs(data) for split, data in splits.items()},
        "provenance": splits.provenance,
    }


def _describe_part(part: Modality) -> JsonDict:
    return {
        "shape": list(part.x.shape),
        "dtype": str(part.x.dtype),
        "labels": part.labels.kind,
        "unlabelled": int((~part.labels.known).sum()),
        "encoder": part.encoder,
    }


def _pairs(data: Dataset) -> dict[str, int]:
    return {
        f"{first}+{second}": len(data.pairs(first, second)[0])
        for first, second in combinations(data.modalities, 2)
    }


def _show_splits(splits: Splits, as_json: bool, *, folder: Path | None = None) -> None:
    content = describe_splits(splits)
    if as_json:
        return print_json(content if folder is None else {"folder": str(folder), **content})
    header = ["split", "modality", "shape", "dtype", "labels", "unlabelled", "encoder"]
    rows = [
        [split, name, *_stored(part)]
        for split, modalities in content["splits"].items()
        for name, part in modalities.items()
    ]
    print_line(f"{folder or splits.name}: {len(splits.classes)} classes")
    print_table(header, rows)
    for split, pairs in content["pairs"].items():
        if pairs:
            shown = ", ".join(f"{names} {n}" for names, n in pairs.items())
            print_line(f"pairs in {split}: {shown}")
    return None


def _show_file(path: Path, as_json: bool) -> None:
    from commonspace.data import describe_file

    infos = describe_file(path)
    if as_json:
        arrays = [{"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in infos]
        return print_json({"file": str(path), "arrays": arrays})
    rows = [[info.name, " x ".join(map(str, info.shape)), info.dtype] for info in infos]
    return print_table(["name", "shape", "type"], rows)


def _modalities(texts: list[str] | None) -> dict[str, Any] | None:
    if not texts:
        return None
    named = parse_pairs("--modality", [t if "=" in t else f"{t}={t}" for t in texts])
    return {name: _key(value) for name, value in named.items()}


def _labels(texts: list[str] | None) -> Any:
    if not texts:
        return None
    if len(texts) == 1 and ("=" not in texts[0] or texts[0].startswith("{")):
        return _key(texts[0])
    return {name: _key(value) for name, value in parse_pairs("--label", texts).items()}


def _key(text: str) -> Any:
    """A key, or keys by split written as a JSON object."""
    return parse_value(text) if text.startswith("{") else text


def _known(row: JsonDict) -> list[Any]:
    items = ", ".join(f"{name} ({n})" for name, n in row["items"].items())
    here, paired = _yes(row["available"]), _yes(row["paired"])
    return [row["name"], here, row["classes"], row["labels"], paired, items]


def _stored(part: JsonDict) -> list[Any]:
    shape, encoder = " x ".join(map(str, part["shape"])), part["encoder"] or {}
    return [shape, part["dtype"], part["labels"], part["unlabelled"], encoder.get("kind")]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
