"""``train`` and ``add-modality``: from data to a stored model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commonspace.cli.arguments import (
    Data,
    DataRoot,
    Json,
    Model,
    parse_list,
    parse_pairs,
    parse_value,
)
from commonspace.cli.methods import Preset, make_method, read_tuned
from commonspace.cli.output import is_terminal, print_json, print_line, print_table
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.data import Dataset, Splits
    from commonspace.methods.base import Method
    from commonspace.training import Run
    from commonspace.types import JsonDict

Jobs = Annotated[
    int | None, typer.Option(min=1, help="Trainings at once [default: one a processor core].")
]
Engine = Annotated[str, typer.Option(help="Where trainings run: local.")]
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
        help="How raw items become features: text-hash, text-bag-of-words, "
        "image-efficientnet-lite0, image-pixels, or an encoder's settings as JSON.",
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
    engine: Engine = "local",
    resume: Resume = True,
    seed: Annotated[int | None, typer.Option(min=0, help="Sets random_state.")] = None,
    log_dir: LogDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Learn one space for the modalities of a data set.

    The split "valid", where there is one, selects the model; "test" is never touched.
    """
    _check_engine(engine)
    if (out / "model.json").exists() and not force:
        raise InputError(f"{out} holds a model. Name a new folder, or replace it with --force.")
    if settings is not None:
        method, found = read_tuned(settings, method)
    else:
        method, found = method or "SDML", {}
    model = make_method(method, preset=preset, settings=set_ or [], seed=seed, found=found)
    from commonspace.data import load_dataset
    from commonspace.store.models import save

    splits = load_dataset(data, root=data_root)
    chosen = parse_list(modalities)
    if chosen is not None:
        splits = splits.select(chosen)
    learn, valid = learning_data(splits, split, encoder_specs(encoder))
    run = _run(out, jobs, resume, log_dir)
    model.fit(learn, valid, run=run)
    save(model, out, replace=True)
    _remove_checkpoints(out)
    _show_model(model, out, list(model.modalities), None if valid is None else "valid", json)


def add_modality(
    model: Model,
    data: Data,
    modality: Annotated[str, typer.Option(metavar="NAME", help="Which modality of DATA to add.")],
    split: Split = "train",
    encoder: Encoders = None,
    jobs: Jobs = None,
    engine: Engine = "local",
    resume: Resume = True,
    log_dir: LogDir = None,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Teach a model one more modality; what it knew keeps its bytes, unless it is Sequential."""
    _check_engine(engine)
    from commonspace.data import load_dataset
    from commonspace.store.models import load, save
    from commonspace.store.pipelines import modality_digests

    fitted = load(model)
    splits = load_dataset(data, root=data_root).select([modality])
    learn, valid = learning_data(splits, split, encoder_specs(encoder))
    before = modality_digests(model)
    part = learn[modality]
    fitted.fit_modality(
        modality,
        part.x,
        part.labels,
        items=part.items,
        valid=None if valid is None else (valid.x(modality), valid.labels(modality)),
        encoder=part.encoder,
        run=_run(model, jobs, resume, log_dir),
    )
    save(fitted, model)
    _remove_checkpoints(model)
    after = modality_digests(model)
    _show_added(fitted, model, modality, before, after, json)


def encoder_specs(texts: list[str] | None) -> dict[str, JsonDict | None]:
    """Read ``MODALITY=KIND`` texts as settings of encoders."""
    from commonspace import encoders
    from commonspace.checks import not_found

    classes = [getattr(encoders, name) for name in encoders.__all__]
    kinds = {cls.kind: cls for cls in classes if hasattr(cls, "kind")}
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
    splits: Splits, split: str, encoders: dict[str, JsonDict | None]
) -> tuple[Dataset, Dataset | None]:
    """Return the split to learn from and the one named "valid", raw items encoded."""
    from commonspace.encoders import fitted_spec
    from commonspace.store.pipelines import encode_raw

    train = splits[split]
    encoders = {
        name: fitted_spec(spec, train.x(name))
        for name, spec in encoders.items()
        if spec is not None and name in train
    }
    learn = encode_raw(train, encoders)
    if "valid" not in splits or split == "valid":
        return learn, None
    valid = splits["valid"]
    shared = [name for name in learn if name in valid]
    return learn, encode_raw(valid.select(shared), encoders) if shared else None


def _check_engine(engine: str) -> None:
    from commonspace.checks import check_one_of

    check_one_of("--engine", engine, ("local",))


def _run(folder: Path, jobs: int | None, resume: bool, log_dir: Path | None) -> Run:
    from commonspace.training import Run

    if not resume:
        _remove_checkpoints(folder)
    return Run(jobs=jobs, checkpoints=_checkpoints(folder), log_dir=log_dir, progress=is_terminal())


def _checkpoints(folder: Path) -> Path:
    return folder / ".checkpoints"


def _remove_checkpoints(folder: Path) -> None:
    shutil.rmtree(_checkpoints(folder), ignore_errors=True)


def _learned(model: Method, name: str) -> JsonDict:
    history = model.history_.get(name, [])
    losses = {int(row["epoch"]): row["valid_loss"] for row in history if "valid_loss" in row}
    best = min(losses, key=lambda epoch: losses[epoch]) if losses else None
    return {
        "features": model.inputs_[name],
        "epochs": len(history),
        "best_epoch": best,
        "best_valid_loss": None if best is None else losses[best],
        "encoder": model.encoders_.get(name),
    }


def _show_model(
    model: Method, folder: Path, names: list[str], valid: str | None, as_json: bool
) -> None:
    learned = {name: _learned(model, name) for name in names}
    result: JsonDict = {
        "model": str(folder),
        "method": type(model).__name__,
        "space": model.space_.fingerprint,
        "dim": model.space_.dim,
        "classes": len(model.space_.classes),
        "validated_on": valid,
        "modalities": learned,
        "seconds": model.training_["seconds"],
    }
    if as_json:
        return print_json(result)
    _print_learned(learned)
    print_line(
        f"{folder}: {result['method']}, dim {result['dim']}, {result['classes']} classes, "
        f"space {result['space'][:12]}, {result['seconds']} s"
    )
    return None


def _print_learned(learned: dict[str, JsonDict]) -> None:
    header = ["modality", "features", "epochs", "best epoch", "best valid loss"]
    keys = ["features", "epochs", "best_epoch", "best_valid_loss"]
    print_table(header, [[name, *(row[key] for key in keys)] for name, row in learned.items()])


def _show_added(
    model: Method,
    folder: Path,
    name: str,
    before: dict[str, str],
    after: dict[str, str],
    as_json: bool,
) -> None:
    unchanged = all(after.get(other) == digest for other, digest in before.items())
    learned = _learned(model, name)
    if as_json:
        others = {m: {"before": before[m], "after": after.get(m)} for m in before}
        seconds = model.training_[f"added {name}"]["seconds"]
        result = {"model": str(folder), "added": name, **learned, "seconds": seconds}
        kept = unchanged and model.keeps_vectors
        print_json({**result, "files": others, "others_unchanged": kept})
    else:
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
