"""All commands under one name. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import typer

from commonspace.cli import (
    bench,
    bench_collections,
    bench_search,
    budgets,
    data,
    demo,
    encoders,
    evaluate,
    examples,
    export,
    index,
    inspect,
    labels,
    loads,
    maps,
    reproduce,
    search,
    serve,
    train,
    tune,
)
from commonspace.cli.errors import Commands

app = typer.Typer(
    name="commonspace",
    cls=Commands,
    help="Cross-modal retrieval in one predefined space: any modality asks, every other answers.",
    epilog="Example: commonspace demo",
    no_args_is_help=True,
    # Plain help loads in half the time of the coloured one.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

demo.register(app)
app.add_typer(data.app, name="data")
encoders.register(app)
train.register(app)
tune.register(app)
evaluate.register(app)
inspect.register(app)
examples.register(app)
index.register(app)
search.register(app)
bench_search.register(bench.app)
bench_collections.register(bench.app)
labels.register(bench.app)
budgets.register(bench.app)
reproduce.register(app)
export.register(app)
serve.register(app)
loads.register(bench.app)
encoders.register_bench(bench.app)
maps.register(app)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line and exit: 0 fine, 2 the user's mistake, 1 ours."""
    app()
