"""``tune``: search a method's settings on rows held back from training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import Data, DataRoot, Json, parse_list
from commonspace.cli.methods import Preset, find_maker, method_arguments
from commonspace.cli.output import print_json, print_line, print_table, say
from commonspace.cli.train import Encoders, encoder_specs, learning_data

if TYPE_CHECKING:
    from commonspace.benchmarks.tune import Tuning


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: commonspace tune wikipedia --method SM --out sm.json")(tune)


def tune(
    data: Data,
    method: Annotated[str, typer.Option(help="SDML, SM, ... in any case.")] = "SDML",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument to fix; repeatable."),
    ] = None,
    preset: Preset = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="In all, with the defaults [default: 20].")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="Start no trial after so many; the last one ends, and --check comes on top."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="Draws of rows to hold back.")] = 1,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Score best and defaults on another draw.")
    ] = True,
    study: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Where trials are kept, to go on from."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the settings, for train --settings.")
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Which modalities [default: all].")
    ] = None,
    encoder: Encoders = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once within a trial.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Search settings by how well training rows that were held back are retrieved.

    The method's defaults are the first trial. The split "test" is never touched.
    """
    make = find_maker(method, preset)
    fixed = method_arguments(make, set_ or [])
    from commonspace.benchmarks.tune import tune as search
    from commonspace.benchmarks.tuned import write_tuned
    from commonspace.data import load_dataset
    from commonspace.training import Run

    splits = load_dataset(data, root=data_root)
    every, chosen = splits["train"].modalities, parse_list(modalities)
    if chosen is not None:
        splits = splits.select(chosen)
    train, valid = learning_data(splits, "train", encoder_specs(encoder))
    found = search(
        make,
        train,
        fixed=fixed,
        trials=trials,
        seconds=seconds,
        folds=folds,
        check=check,
        valid=valid,
        study=study,
        seed=seed,
        run=Run(jobs=jobs),
        say=say,
    )
    if out is not None:
        write_tuned(out, found, data=data, modalities=train.modalities, every=every)
    if json:
        return print_json({**found.to_dict(), "settings_file": None if out is None else str(out)})
    return _show(found, make(**fixed).get_params(deep=False), out)


def _show(found: Tuning, defaults: dict[str, Any], out: Path | None) -> None:
    best = found.best.settings or {name: defaults[name] for name in _searched(found)}
    rows = [
        [name, _text(defaults[name]), _text(value), found.importance.get(name)]
        for name, value in best.items()
    ]
    print_table(["setting", "default", "best", "importance"], rows)
    print_line()
    scores = [["rows that chose", found.default_score, found.best_score, found.gain]]
    other = found.other_rows
    if other is not None:
        before, after = other["defaults"], other["best"]
        gain = None if before is None or after is None else after - before
        scores.append(["rows of another draw", before, after, gain])
    print_table(["mean average precision on", "default", "best", "gain"], scores)
    failed = [trial for trial in found.trials if trial.error is not None]
    print_line(f"trials: {len(found.trials)}, failed: {len(failed)}, {found.seconds:.1f} s")
    if out is not None:
        print_line(f"wrote {out}: commonspace train DATA --settings {out} --out MODEL")


def _searched(found: Tuning) -> list[str]:
    return list(dict.fromkeys(name for trial in found.trials for name in trial.settings))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
