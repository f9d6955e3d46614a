"""The card of a model: what it is, from its manifest, as Markdown with a front matter.

A folder of `save` with the card in it, as README.md, is what model hubs take: they show the page
and read the YAML between its first lines. YAML holds JSON, so every value is written as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commonspace.disk import atomic_file, safe_name
from commonspace.errors import InputError
from commonspace.store.models import read_manifest
from commonspace.types import JsonDict

if TYPE_CHECKING:
    from commonspace.evaluation import Health, Report

MARK = "<!-- made by: commonspace card -->"
LICENCE = "Not chosen yet. Replace this line, and `license` above, by the licence of the weights."
_LIMITS = (
    "Inputs have to be made by the encoders named above, of the same version and settings.",
    "Vectors compare only within the space of this fingerprint; the library refuses others.",
    "Classes that are not listed were not learned: items of theirs land near those that are.",
    "Scores are of the data named with them, and promise nothing about others.",
)


def model_card(
    folder: str | Path,
    *,
    report: Report | None = None,
    health: Health | None = None,
    data: str | None = None,
) -> str:
    """Return the card of a stored model.

    Args:
        folder: As `save` wrote it.
        report: Scores; None takes those that the manifest keeps, if any.
        health: What `inspect` found.
        data: Name of what these were measured on.

    Raises:
        NotFoundError: The folder holds no model.
        StorageError: The manifest is damaged.
    """
    manifest = read_manifest(folder)
    scores = manifest["scores"] if report is None else report.to_dict()
    parts = [
        _front_matter(manifest, scores, data),
        MARK,
        _opening(manifest),
        _method(manifest),
        _modalities(manifest),
        _training(manifest),
        _scores(scores, data),
        *([] if health is None else [_health(health, data)]),
        _limits(manifest),
        _loading(manifest),
        f"## Licence\n\n{LICENCE}",
    ]
    return "\n\n".join(parts) + "\n"


def write_card(path: str | Path, card: str, *, force: bool = False) -> None:
    """Write a card to a file.

    Raises:
        InputError: Something else is there, that no card was written over.
        StorageError: The disk refuses.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file, such as {path / 'README.md'}.")
    if (
        path.exists()
        and not force
        and MARK not in path.read_text(encoding="utf-8", errors="ignore")
    ):
        raise InputError(f"{path} is no card of ours. Name another file, or replace it by force.")
    with atomic_file(path) as file:
        file.write(card.encode("utf-8"))


def _front_matter(manifest: JsonDict, scores: JsonDict, data: str | None) -> str:
    tags = ["cross-modal-retrieval", "commonspace", manifest["method"], *manifest["modalities"]]
    fields: JsonDict = {
        "library_name": "commonspace",
        "license": "other",
        "license_name": "not-chosen-yet",
        "pipeline_tag": "feature-extraction",
        "tags": tags,
    }
    if scores.get("directions") and data is not None:
        fields["model-index"] = [_index_entry(manifest, scores, data)]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _index_entry(manifest: JsonDict, scores: JsonDict, data: str) -> JsonDict:
    metrics = [
        {"type": "mean_average_precision", "name": f"mAP, {name}", "value": score["map"]}
        for name, score in scores["directions"].items()
        if score["map"] is not None
    ]
    return {
        "name": manifest["method"],
        "results": [
            {
                "task": {"type": "feature-extraction", "name": "Cross-modal retrieval"},
                "dataset": {"type": safe_name(data.split(",")[0]).lower(), "name": data},
                "metrics": metrics,
            }
        ],
    }


def _opening(manifest: JsonDict) -> str:
    names = ", ".join(map(_plain, manifest["modalities"]))
    space = manifest["space"]
    return (
        f"# {manifest['method']}: {names}\n\n"
        f"Brings {names} into one space of {space['dim']} dimensions, where each can search every "
        "other. Vectors are compared by cosine."
    )


def _method(manifest: JsonDict) -> str:
    settings = [[f"`{key}`", _code(value)] for key, value in manifest["params"].items()]
    return (
        f"## Method\n\n`{manifest['method']}` of commonspace {manifest['library_version']}.\n\n"
        + (_table(["setting", "value"], settings))
    )


def _modalities(manifest: JsonDict) -> str:
    rows = [
        [_plain(name), entry["n_features"], _code(_encoder(entry["encoder"]))]
        for name, entry in manifest["modalities"].items()
    ]
    return "## Modalities\n\n" + _table(["modality", "features", "encoder"], rows)


def _encoder(spec: JsonDict | None) -> Any:
    """An encoder's id and its short settings; None: features came as they are."""
    if spec is None:
        return None
    return {k: v for k, v in spec.items() if len(json.dumps(v)) < 80}


def _training(manifest: JsonDict) -> str:
    space, training = manifest["space"], manifest["training"]
    classes = space["classes"]
    shown = ", ".join(map(_plain, classes[:20])) + (", ..." if len(classes) > 20 else "")
    rows: list[list[Any]] = [
        ["space fingerprint", f"`{space['fingerprint']}`"],
        [f"{len(classes)} classes", shown],
    ]
    fits = {"training": training} | {k: v for k, v in training.items() if isinstance(v, dict)}
    for name, fit in fits.items():
        rows.append([f"data fingerprint, {_plain(name)}", f"`{fit.get('data')}`"])
        rows.append([f"seconds, {_plain(name)}", fit.get("seconds")])
    return "## Space and training\n\n" + _table(["", ""], rows)


def _scores(scores: JsonDict, data: str | None) -> str:
    if not scores.get("directions"):
        return "## Scores\n\nNone on record."
    rows = [
        [
            _plain(name.replace("->", " → ")),
            _number(s["map"]),
            _interval(s["ci"]),
            s["queries"],
            s["gallery"],
        ]
        for name, s in scores["directions"].items()
    ]
    rows.append(["**mean, cross-modal**", _number(scores["mean_ap"]), "", "", ""])
    chosen = {"k": "all", **{k: v for k, v in scores["protocol"].items() if v is not None}}
    protocol = ", ".join(f"{key}: {_plain(value)}" for key, value in chosen.items())
    where = "" if data is None else f" on {_plain(data)}"
    return (
        f"## Scores\n\nMean average precision{where}, 95 % intervals over queries.\n\n"
        + _table(["query → gallery", "mAP", "95 % interval", "queries", "items"], rows)
        + f"\n\nProtocol: {protocol}."
    )


def _health(health: Health, data: str | None) -> str:
    worst = sorted({finding.what for finding in health.findings})
    found = [finding for what in worst if (finding := health.worst_of(what)) is not None]
    rows = [[f.what, f"{f.value:.3f}", _arrow(f.where), f.severity] for f in found]
    where = "" if data is None else f" on {_plain(data)}"
    return (
        f"## Health\n\nVerdict{where}: **{health.verdict}**. The worst of each kind:\n\n"
        + _table(["what", "value", "where", ""], rows)
    )


def _limits(manifest: JsonDict) -> str:
    limits = [*_LIMITS, *_rows_held(manifest)]
    if len(manifest["modalities"]) == 1:
        limits.append("It knows one modality so far.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in limits)


def _rows_held(manifest: JsonDict) -> Iterable[str]:
    """What is told of the training rows that a kernel machine compares with."""
    for name, entry in manifest["modalities"].items():
        if count := entry["info"].get("network", {}).get("landmarks", 0):
            yield f"The weights hold {count} training rows of {_plain(name)}, standardised."


def _loading(manifest: JsonDict) -> str:
    name, entry = next(iter(manifest["modalities"].items()))
    return (
        "## Use\n\n```python\nimport commonspace as cs\n\n"
        'model = cs.load(".")  # the folder this page is in; nothing in it is executed\n'
        f"vectors = model.transform({json.dumps(name)}, features)  "
        f"# (n, {entry['n_features']}) to (n, {manifest['space']['dim']})\n```"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _code(value: Any) -> str:
    """JSON in code marks, which show a text as it is."""
    return (
        "-"
        if value is None
        else f"`{json.dumps(value, ensure_ascii=False).replace('`', chr(0x2019))}`"
    )


def _plain(value: Any) -> str:
    """What a user named, with nothing in it that Markdown or HTML reads."""
    shown = "".join(c if c.isprintable() else " " for c in str(value))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]":
        shown = shown.replace(mark, "\\" + mark)
    return shown


def _arrow(direction: str) -> str:
    return _plain(direction.replace("->", " → "))


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _interval(ends: Sequence[float] | None) -> str | None:
    return None if ends is None else f"{ends[0]:.4f} - {ends[1]:.4f}"
