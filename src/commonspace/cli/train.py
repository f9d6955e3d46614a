"""``train`` and ``add-modality``: from data to a stored model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commonspace.cli.arguments import (
    Address,
    Data,
    DataRoot,
    EngineName,
    Json,
    Model,
    join_engine,
    parse_list,
    parse_pairs,
    parse_value,
)
from commonspace.cli.encoding import (
    Cache,
    KeepFeatures,
    Strict,
    encode_run,
    left_out,
    show_left_out,
)
from commonspace.cli.methods import Preset, make_method, read_tuned
from commonspace.cli.output import (
    is_terminal,
    print_json,
    print_line,
    print_table,
    results_alone,
)
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.cluster import Engine
    from commonspace.data import Dataset, Splits
    from commonspace.encoders import EncodeRun
    from commonspace.methods.base import Method
    from commonspace.training import Run
    from commonspace.types import JsonDict

Jobs = Annotated[
    int | None, typer.Option(min=1, help="Trainings at once [default: one a processor core].")
]
Resume = Annotated[bool, typer.Option(help="Continue a training that was cut off.")]
LogDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write TensorBoard event files there.")
]
Split = Annotated[str, typer.Option(help="The split to learn from.")]
Encoders = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="MODALITY=KIND",
        help="How raw items become features: a name that `commonspace encoders` lists, or an "
        "encoder's settings as JSON [default: by what the items are].",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: commonspace train wikipedia --out wiki --set epochs=50")(train)
    app.command(epilog="Example: commonspace add-modality wiki clips --modality audio")(
        add_modality
    )


def train(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="MODEL", help="Folder for the model.")],
    method: Annotated[
        str | None, typer.Option(help="SDML, SM, ... in any case [default: SDML].")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of the method; repeatable."),
    ] = None,
    preset: Preset = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Method and arguments as tune found them; --set wins."),
    ] = None,
    split: Split = "train",
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Which modalities [default: all].")
    ] = None,
    encoder: Encoders = None,
    jobs: Jobs = None,
    engine: EngineName = "local",
    address: Address = None,
    resume: Resume = True,
    seed: Annotated[int | None, typer.Option(min=0, help="Sets random_state.")] = None,
    log_dir: LogDir = None,
    cache: Cache = None,
    cached: KeepFeatures = True,
    strict: Strict = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Learn one space for the modalities of a data set.

    Raw items (texts; files of a table or of a folder whose class folders hold them) are encoded
    first, and the model remembers how. The split "valid", where there is one, selects the model;
    "test" is never touched.
    """
    from commonspace.disk import check_target

    check_target(out, what="the model", marker="model.json")
    if (out / "model.json").exists() and not force:
        raise InputError(f"{out} holds a model. Name a new folder, or replace it with --force.")
    if settings is not None:
        method, found = read_tuned(settings, method)
    else:
        method, found = method or "SDML", {}
    model = make_method(method, preset=preset, settings=set_ or [], seed=seed, found=found)
    where = join_engine(engine, address)
    from commonspace.data import load_dataset
    from commonspace.store.models import save

    splits = load_dataset(data, root=data_root)
    chosen = parse_list(modalities)
    if chosen is not None:
        splits = splits.select(chosen)
    with encode_run(
        cache=cache, keep=cached, strict=strict, jobs=jobs, engine=where, address=address
    ) as encoding:
        learn, valid = learning_data(splits, split, encoder_specs(encoder), encoding)
    run = _run(out, jobs, resume, log_dir, where, address)
    with results_alone():
        model.fit(learn, valid, run=run)
    save(model, out, replace=True)
    _remove_checkpoints(out)
    missing = left_out(splits, encoding)
    _show_model(model, out, None if valid is None else "valid", missing, json)


def add_modality(
    model: Model,
    data: Data,
    modality: Annotated[str, typer.Option(metavar="NAME", help="Which modality of DATA to add.")],
    split: Split = "train",
    encoder: Encoders = None,
    jobs: Jobs = None,
    engine: EngineName = "local",
    address: Address = None,
    resume: Resume = True,
    log_dir: LogDir = None,
    cache: Cache = None,
    cached: KeepFeatures = True,
    strict: Strict = False,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Teach a model one more modality; what it knew keeps its bytes, unless it is Sequential."""
    where = join_engine(engine, address)
    from commonspace.data import load_dataset
    from commonspace.store.models import load, save
    from commonspace.store.pipelines import modality_digests

    fitted = load(model)
    splits = load_dataset(data, root=data_root).select([modality])
    with encode_run(
        cache=cache, keep=cached, strict=strict, jobs=jobs, engine=where, address=address
    ) as encoding:
        learn, valid = learning_data(splits, split, encoder_specs(encoder), encoding)
    before = modality_digests(model)
    part = learn[modality]
    with results_alone():
        fitted.fit_modality(
            modality,
            part.x,
            part.labels,
            items=part.items,
            valid=None if valid is None else (valid.x(modality), valid.labels(modality)),
            encoder=part.encoder,
            run=_run(model, jobs, resume, log_dir, where, address),
        )
    save(fitted, model)
    _remove_checkpoints(model)
    after = modality_digests(model)
    _show_added(fitted, model, modality, before, after, left_out(splits, encoding), json)


def encoder_specs(texts: list[str] | None) -> dict[str, JsonDict | None]:
    """Read ``MODALITY=KIND`` texts as settings of encoders."""
    from commonspace.checks import not_found
    from commonspace.encoders import list_encoders

    kinds = [offer.kind for offer in list_encoders()]
    specs: dict[str, JsonDict | None] = {}
    for modality, text in parse_pairs("--encoder", texts or []).items():
        value = parse_value(text)
        if isinstance(value, dict):
            specs[modality] = value
        elif value in kinds:
            specs[modality] = {"kind": value}
        else:
            raise not_found("encoder", text, kinds)
    return specs


def learning_data(
    splits: Splits,
    split: str,
    encoders: dict[str, JsonDict | None],
    run: EncodeRun | None = None,
) -> tuple[Dataset, Dataset | None]:
    """Return the split to learn from and the one named "valid", raw items encoded."""
    from commonspace.store.pipelines import encode_raw, raw_encoders

    train = splits[split]
    specs = raw_encoders(train, encoders)
    learn = encode_raw(train, specs, run=run)
    if "valid" not in splits or split == "valid":
        return learn, None
    valid = splits["valid"]
    shared = [name for name in learn if name in valid]
    return learn, encode_raw(valid.select(shared), specs, run=run) if shared else None


def _run(
    folder: Path,
    jobs: int | None,
    resume: bool,
    log_dir: Path | None,
    engine: Engine,
    address: str | None,
) -> Run:
    from commonspace.training import Run

    if not resume:
        _remove_checkpoints(folder)
    return Run(
        jobs=jobs,
        checkpoints=_checkpoints(folder),
        log_dir=log_dir,
        progress=is_terminal(),
        engine=engine,
        address=address,
    )


def _checkpoints(folder: Path) -> Path:
    return folder / ".checkpoints"


def _remove_checkpoints(folder: Path) -> None:
    shutil.rmtree(_checkpoints(folder), ignore_errors=True)


def _learned(model: Method, name: str) -> JsonDict:
    history = model.history_.get(name, [])
    losses = {int(row["epoch"]): row["valid_loss"] for row in history if "valid_loss" in row}
    lowest = min(losses, key=lambda epoch: losses[epoch]) if losses else None
    return {
        "features": model.inputs_[name],
        "epochs": len(history),
        "lowest_valid_loss": None if lowest is None else losses[lowest],
        "lowest_at_epoch": lowest,
        "encoder": model.encoders_.get(name),
    }


def _show_model(
    model: Method, folder: Path, valid: str | None, missing: list[JsonDict], as_json: bool
) -> None:
    learned = {name: _learned(model, name) for name in model.modalities}
    result: JsonDict = {
        "model": str(folder),
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "dim": model.space_.dim,
        "classes": len(model.space_.classes),
        "validated_on": valid,
        "modalities": learned,
        "left_out": missing,
        "seconds": model.training_["seconds"],
    }
    if as_json:
        return print_json(result)
    show_left_out(missing)
    _print_learned(learned)
    print_line(
        f"{folder}: {result['method']}, dim {result['dim']}, {result['classes']} classes, "
        f"space {result['space'][:12]}, {result['seconds']} s"
    )
    return None


def _print_learned(learned: dict[str, JsonDict]) -> None:
    header = ["modality", "features", "epochs", "lowest valid loss", "at epoch"]
    keys = ["features", "epochs", "lowest_valid_loss", "lowest_at_epoch"]
    print_table(header, [[name, *(row[key] for key in keys)] for name, row in learned.items()])


def _show_added(
    model: Method,
    folder: Path,
    name: str,
    before: dict[str, str],
    after: dict[str, str],
    missing: list[JsonDict],
    as_json: bool,
) -> None:
    unchanged = all(after.get(other) == digest for other, digest in before.items())
    learned = _learned(model, name)
    if as_json:
        others = {m: {"before": before[m], "after": after.get(m)} for m in before}
        seconds = model.training_[f"added {name}"]["seconds"]
        result = {"model": str(folder), "added": name, **learned, "seconds": seconds}
        kept = unchanged and model.keeps_vectors
        print_json({**result, "files": others, "others_unchanged": kept, "left_out": missing})
    else:
        show_left_out(missing)
        _print_learned({name: learned})
        rows = [[m, before[m][:12], after.get(m, "gone")[:12]] for m in before]
        print_table(["modality", "SHA-256 before", "after"], rows)
        print_line(_what_became_of_others(model, unchanged))
    if not unchanged:
        raise RuntimeError(f"adding {name!r} changed the files of other modalities in {folder}")


def _what_became_of_others(model: Method, unchanged: bool) -> str:
    if not unchanged:
        return "FILES CHANGED"
    if model.keeps_vectors:
        return "the other modalities kept their bytes"
    return (
        f"{type(model).__name__} has one network for all, which has changed, and with it the "
        "vectors of the other modalities: encode stored items again"
    )
