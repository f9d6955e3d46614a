"""Pages of the documentation site from result files: an index, a page a recipe, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from commonspace.benchmarks.reproduce.figures import Picture, draw
from commonspace.benchmarks.reproduce.formats import (
    headline,
    markdown_body,
    markdown_grid,
    read_tables,
    stem,
    summary,
    to_csv,
    totals,
)
from commonspace.disk import atomic_file
from commonspace.errors import InputError
from commonspace.types import JsonDict

FIGURES, DATA = "figures", "data"
INTRODUCTION = """# Results

Made from result files by `commonspace reproduce site`, which measures nothing itself; the files are
written by `commonspace reproduce all --out results`. A *paper* has published numbers beside ours;
a *study* has the shape of a paper's table on other data, and nothing is published of it."""
ABOUT = """What is marked: the row with the largest cross-modal mAP is the best, and rows that a
paired randomisation test does not tell apart from it (Holm-corrected over the table) are tied. The
column SDML says where the default stands. "fits, s" are seconds of all fits, of whichever run, and
"wall, s" those of the run that wrote the file, which takes finished pieces up again."""


def write_pages(results: str | Path, docs: str | Path) -> list[Path]:
    """Write the pages of all tables.

    Args:
        results: Folder that `reproduce` wrote to.
        docs: Folder for the pages; files of the same names are replaced.

    Returns:
        The pages.

    Raises:
        InputError: There is no result file.
        MissingExtraError: matplotlib is not installed.
    """
    source, target = Path(results), Path(docs)
    tables = read_tables(source)
    if not tables:
        raise InputError(
            f"{source}: expected result files, got none. Make them with: commonspace reproduce all "
            f"--out {source}"
        )
    recipes: dict[str, list[JsonDict]] = {}
    for table in tables:
        recipes.setdefault(table["recipe"], []).append(table)
    pages = [_write(target / "index.md", _index(tables))]
    for name, found in recipes.items():
        if any(not table["skipped"] for table in found):
            pages.append(_write(target / f"{name}.md", _page(found, target)))
    return pages


def _index(tables: Sequence[JsonDict]) -> str:
    made = [table for table in tables if not table["skipped"]]
    header, rows = summary(made)
    rows = [[f"[{row[0]}]({row[0]}.md)", *row[1:]] for row in rows]
    skipped = [table for table in tables if table["skipped"]]
    parts = [INTRODUCTION, markdown_grid(header, rows), totals(tables), ABOUT]
    if skipped:
        reasons: dict[str, list[str]] = {}
        for table in skipped:
            reasons.setdefault(table["skipped"], []).append(table["title"])
        lines = [f"- {why} *Tables:* {'; '.join(titles)}." for why, titles in reasons.items()]
        parts += ["## Not made here", "What these tables need is not here:", "\n".join(lines)]
    return "\n\n".join([*parts, _machine(tables[0])])


def _machine(table: JsonDict) -> str:
    machine = table["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured on {machine['processor']}, {machine['cpus']} cores, Python "
        f"{machine['python']}; {versions}."
    )


def _page(tables: Sequence[JsonDict], target: Path) -> str:
    """All data sets of a recipe: table, pictures, and the file of all figures."""
    parts = [f"# {tables[0]['title']}", *headline(tables[0])]
    for table in tables:
        parts += [f"## {table['set']}", markdown_body(table)]
        if not table["skipped"]:
            parts += _pictures(draw(table, target / FIGURES), target)
            name = f"{DATA}/{stem(table)}.csv"
            _write(target / name, to_csv(table).rstrip("\n"))
            parts.append(f"[All figures of this table, as CSV]({name})")
    return "\n\n".join(parts)


def _pictures(pictures: Sequence[Picture], target: Path) -> list[str]:
    """Pictures of one caption stand side by side above it."""
    by_caption: dict[str, list[str]] = {}
    for caption, path in pictures:
        place = path.relative_to(target).as_posix()
        width = " width=380" if path.suffix == ".png" else ""
        picture = f"![{caption}]({place}){{ loading=lazy{width} }}"
        by_caption.setdefault(caption, []).append(picture)
    return [f"{' '.join(each)}\n\n{caption}" for caption, each in by_caption.items()]


def _write(path: Path, text: str) -> Path:
    with atomic_file(path) as file:
        file.write(text.encode() + b"\n")
    return path
