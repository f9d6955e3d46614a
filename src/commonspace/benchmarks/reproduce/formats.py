"""A table for people and for programs: grid of texts, Markdown, CSV, JSON; all from one dict."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import kendalltau, rankdata

from commonspace.benchmarks.reproduce.statistics import ALPHA
from commonspace.disk import atomic_file, safe_name, write_json
from commonspace.types import JsonDict

SCORE = "{:.4f}"
WHOLE = 2  # columns of a paper that are shown with interval and deviation
FEW, FAR = 5, 3  # methods that make an order; places by which one is far from where it was
PLAIN_COLUMNS = ("seconds", "memory_mib")
HEADINGS = {
    "mean": "mean mAP",
    "within": "mAP within",
    "all": "all tasks",
    "ndcg": "nDCG",
    "seconds": "fit, s",
    "memory_mib": "MiB",
}
CSV_HEADER = (
    "recipe",
    "set",
    "study",
    "method",
    "status",
    "column",
    "paper",
    "ours",
    "low",
    "high",
    "sd",
    "deviation",
    "within_tolerance",
    "seeds",
    "best",
    "tied",
    "p_holm",
    "why",
    "notes",
)


def stem(table: JsonDict) -> str:
    """Name of a table's files, without ending."""
    return f"{table['recipe']}.{safe_name(Path(table['set']).name)}"


def write_table(table: JsonDict, folder: Path) -> list[Path]:
    """Write a table as JSON, Markdown and CSV; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / stem(table)
    paths = [base.with_name(f"{base.name}.{end}") for end in ("json", "md", "csv")]
    write_json(paths[0], table)
    for path, text in zip(paths[1:], (to_markdown(table), to_csv(table)), strict=True):
        with atomic_file(path) as file:
            file.write(text.encode())
    return paths


def read_tables(folder: Path) -> list[JsonDict]:
    """All tables of a folder that `write_table` filled, papers' first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    tables = [each for each in found if isinstance(each, dict) and "recipe" in each]
    return sorted(tables, key=lambda table: bool(table["study"]))


def to_csv(table: JsonDict) -> str:
    """One line a row and column, figures in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row in table["rows"]:
        for column in table["columns"]:
            cell = row["cells"][column["key"]]
            values = {**_of_row(table, row), **cell, "column": column["key"]}
            writer.writerow([_csv(values.get(name)) for name in CSV_HEADER])
    return text.getvalue()


def _of_row(table: JsonDict, row: JsonDict) -> JsonDict:
    return {
        "recipe": table["recipe"],
        "set": table["set"],
        "study": table["study"],
        "method": row["label"],
        "status": row["status"],
        "seeds": row["seeds"],
        "best": row.get("best"),
        "tied": row.get("tied"),
        "p_holm": row.get("p_holm"),
        "why": "; ".join(row.get("why", ())),
        "notes": "; ".join(row["notes"]),
    }


def _csv(value: object) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def headline(table: JsonDict) -> list[str]:
    """What stands above a table: which data, which protocol, and whether it is a study."""
    if table["study"]:
        first = f"Study on other data, in the shape of {table['table']}; nothing published."
    elif table["source"] is None:
        first = f"{table['table']}: a plot; the paper prints no numbers."
    else:
        first = f"{table['table']}; published numbers: {table['source']}."
    return [line for line in (first, table["paper"], _protocol(table), table["note"]) if line]


def _protocol(table: JsonDict) -> str:
    made = table["protocol"]
    if made is None:
        return ""
    last = table["seeds"] - 1
    states = f"random states 0 to {last}" if last else "random state 0"
    depth = "over all ranks" if made["k"] is None else f"over the first {made['k']} ranks"
    return (
        f"Protocol: mAP {depth}, divided by the relevant items ({made['divide_by']}), "
        f"{made['metric']}, ties {made['ties']}, empty queries {made['empty']}; "
        f"{states}; 95 % intervals by bootstrap over items."
    )


def footnotes(table: JsonDict) -> list[str]:
    """What stands below: reasons by letter, and what the marks mean."""
    lines = [f"{letter}: {reason}" for reason, letter in _letters(table).items()]
    if any("best" in row for row in table["rows"]):
        lines.append(
            "best: no other row has a larger mean mAP, over the directions between different "
            "modalities. tied: paired randomisation test "
            f"against it, Holm-corrected over the table, p > {ALPHA:g}. The best row's p is that "
            "against the second."
        )
    if order := order_kept(table):
        lines.append(order)
    if any(row["status"] == "failed" for row in table["rows"]):
        lines.append("A row that failed is a mistake of ours.")
    return lines


def order_kept(table: JsonDict) -> str | None:
    """How far methods come in the order that was published; None where fewer than `FEW` can tell.

    Of a method with several rows the first counts, and numbers that are no target do not.
    """
    scored: dict[str, tuple[float, float, str]] = {}
    for row in table["rows"]:
        cell = row["cells"].get("mean", {})
        both = cell.get("paper") is not None and cell["ours"] is not None
        if both and not row.get("doubtful"):
            method = row["name"].partition(".")[0]
            scored.setdefault(method, (cell["paper"], cell["ours"], row["label"]))
    if len(scored) < FEW:
        return None
    paper, ours, labels = zip(*scored.values(), strict=True)
    there, here = (rankdata([-score for score in scores], "min") for scores in (paper, ours))
    far = [
        f"{label} ({first:.0f} there, {second:.0f} here)"
        for label, first, second in zip(labels, there, here, strict=True)
        if abs(first - second) >= FAR
    ]
    tau = kendalltau(paper, ours).statistic
    line = f"Order of {len(scored)} methods against the published one: Kendall's tau {tau:.2f}."
    return f"{line} {FAR} places apart or more: {', '.join(far)}." if far else line


def _letters(table: JsonDict) -> dict[str, str]:
    reasons = dict.fromkeys(reason for row in table["rows"] for reason in row.get("why", ()))
    return {reason: _letter(at) for at, reason in enumerate(reasons)}


def _letter(at: int) -> str:
    """A to z, then aa, ab and so on."""
    more, rest = divmod(at, 26)
    return (_letter(more - 1) if more else "") + chr(ord("a") + rest)


def grid(
    table: JsonDict, *, bold: bool = False, notes: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of texts: for each shown column paper, ours, interval and deviation.

    Args:
        table: As `reproduce` yields it.
        bold: Mark the best row as Markdown does.
        notes: With a column of notes on the rows; else `row_notes` tells them.
    """
    keys = [column["key"] for column in table["columns"] if column["shown"]]
    has_paper = table["source"] is not None
    tested = any("best" in row for row in table["rows"])
    letters = _letters(table)
    header = ["method"]
    whole = _whole_columns(keys)
    for key in keys:
        header += _headings(key, has_paper, key in whole)
    header += [*(["vs best"] if tested else []), *(["why"] if has_paper else [])]
    header += ["notes"] if notes else []
    rows = []
    for row in table["rows"]:
        cells = [row["label"]]
        for key in keys:
            cells += _texts(table, row, key, has_paper, key in whole)
        cells += [_standing(row)] if tested else []
        cells += [" ".join(letters[reason] for reason in row.get("why", ()))] if has_paper else []
        cells += ["; ".join(_notes(row))] if notes else []
        rows.append(_in_bold(header, cells) if bold and row.get("best") else cells)
    return _without_empty(header, rows)


def _whole_columns(keys: Sequence[str]) -> set[str]:
    """Columns with interval and deviation: all, or of many the means; files have them all."""
    scores = [key for key in keys if key not in PLAIN_COLUMNS]
    means = {"mean", "all"} & set(scores)
    return means if means and len(scores) > WHOLE else set(scores)


def row_notes(table: JsonDict) -> list[str]:
    """A line for what rows have to tell, where there is no column for it."""
    found: dict[str, list[str]] = {}
    for row in table["rows"]:
        if notes := _notes(row):
            found.setdefault("; ".join(notes), []).append(row["label"])
    return [f"{', '.join(labels)}: {notes}" for notes, labels in found.items()]


def _in_bold(header: Sequence[str], cells: Sequence[str]) -> list[str]:
    marked = ("method", HEADINGS["mean"], "final")
    pairs = zip(header, cells, strict=True)
    return [f"**{cell}**" if cell and name in marked else cell for name, cell in pairs]


def _headings(key: str, has_paper: bool, whole: bool) -> list[str]:
    name = HEADINGS.get(key, key.replace("->", "\N{RIGHTWARDS ARROW}"))
    if not has_paper:
        return [name, "95 %"] if key == "mean" else [name]
    return [f"{name}: paper", name, *([f"{name}: 95 %", f"{name}: deviation"] if whole else [])]


def _texts(table: JsonDict, row: JsonDict, key: str, has_paper: bool, whole: bool) -> list[str]:
    cell = row["cells"][key]
    shape = SCORE if table["kind"] == "methods" and key not in PLAIN_COLUMNS else "{:.4g}"
    ours = "" if cell["ours"] is None else shape.format(cell["ours"])
    if ours and cell["sd"] is not None and key in ("mean", "final"):
        ours += f" ± {cell['sd']:.4f}"
    spread = "" if cell["low"] is None else f"{cell['low']:.3f}-{cell['high']:.3f}"
    if not has_paper:
        return [ours, spread] if key == "mean" else [ours]
    paper = "" if cell["paper"] is None else f"{cell['paper']:g}"
    gap = "" if cell["deviation"] is None else f"{cell['deviation']:+.3f}"
    return [paper, ours, *([spread, gap] if whole else [])]


def _standing(row: JsonDict) -> str:
    if "p_holm" not in row:
        return "best" if row.get("best") else ""
    word = "best" if row.get("best") else "tied" if row["tied"] else "behind"
    p = row["p_holm"]
    return f"{word}, {'p<0.001' if p < 0.001 else f'p={p:.3f}'}"


def _notes(row: JsonDict) -> list[str]:
    status = [] if row["status"] == "scored" else [row["status"]]
    return [*status, *row["notes"]]


def _without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Columns without any text say nothing."""
    kept = [at for at in range(len(header)) if at == 0 or any(row[at] for row in rows)]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def to_markdown(table: JsonDict) -> str:
    """Heading, what was done, the table, and what its marks mean."""
    parts = [f"# {table['title']}: {table['set']}", *headline(table), markdown_body(table)]
    return "\n\n".join(parts) + "\n"


def markdown_body(table: JsonDict) -> str:
    """The table and what its marks mean, or why there is none."""
    if table["skipped"]:
        return f"**Skipped.** {table['skipped']}"
    header, rows = grid(table, bold=True)
    return "\n\n".join([markdown_grid(header, rows), *footnotes(table)])


def markdown_grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; columns of nothing but numbers are aligned to the right."""
    lines = [header, ["---"] + ["---:" if _numeric(rows, at) else "---" for at in _rest(header)]]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in [*lines, *rows])


def _rest(header: Sequence[str]) -> range:
    return range(1, len(header))


def _numeric(rows: Sequence[Sequence[str]], at: int) -> bool:
    return all(row[at].strip("*")[:1] in "+-0123456789" for row in rows)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def summary(tables: Sequence[JsonDict]) -> tuple[list[str], list[list[str]]]:
    """A line a table: what became of it, which row is the best, and where SDML stands.

    "fits, s" are the seconds of all fits, also of those that an earlier run left finished, and
    "wall, s" those of this run.
    """
    header = ["recipe", "data", "kind", "best", "mAP", "SDML", "rows", "fits, s", "wall, s"]
    return header, [_line(table) for table in tables]


def totals(tables: Sequence[JsonDict]) -> str:
    """What ran, what was left out for want of data, and how long it took, in one line.

    A fit that two tables share counts in both.
    """
    made = [table for table in tables if not table["skipped"]]
    fits = sum(_fit_seconds(table) or 0.0 for table in made)
    wall = sum(table["wall_seconds"] for table in made)
    return (
        f"{len(made)} tables made, {len(tables) - len(made)} skipped for want of data; "
        f"their fits {fits / 60:.1f} min, this run {wall / 60:.1f} min."
    )


def _fit_seconds(table: JsonDict) -> float | None:
    """Seconds of all fits of a table; None where its rows have none."""
    cells = [(row, row.get("cells", {}).get("seconds")) for row in table["rows"]]
    found = [
        cell["ours"] * row["seeds"] for row, cell in cells if cell and cell["ours"] is not None
    ]
    return sum(found) if found else None


def _line(table: JsonDict) -> list[str]:
    kind = "study" if table["study"] else "paper"
    if table["skipped"]:
        return [table["recipe"], table["set"], kind, "skipped", "", "", "", "", ""]
    best = next((row for row in table["rows"] if row.get("best")), None)
    cell = best["cells"].get("mean") or best["cells"].get("final") if best else None
    plain = [row for row in table["rows"] if row["name"] == "SDML" and not row.get("settings")]
    ours = plain[0] if plain else None
    fits = _fit_seconds(table)
    scored = sum(row["status"] == "scored" for row in table["rows"])
    return [
        table["recipe"],
        table["set"],
        kind,
        best["label"] if best else "",
        SCORE.format(cell["ours"]) if cell else "",
        _standing(ours) if ours else "",
        str(scored),
        "" if fits is None else f"{fits:.0f}",
        f"{table['wall_seconds']:.0f}",
    ]
