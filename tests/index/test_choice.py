"""The rule of which kind, worked by hand at its borders."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.errors import InputError
from commonspace.index import Wish, bytes_per_item, choose, make_index

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        (Wish(0, 64), "exact"),
        (Wish(11_700, 128), "exact"),
        (Wish(11_800, 128), "ivf"),
        (Wish(100_000, 128), "ivf"),
        (Wish(MILLION, 128), "ivf"),
        (Wish(MILLION, 128, recall=1.0), "exact"),
        (Wish(MILLION, 128, memory=600_000_000), "ivf"),
        (Wish(100_000, 128, memory=60_000_000), "ivf"),
        (Wish(MILLION, 128, memory=100_000_000), "codes4"),
        (Wish(MILLION, 128, metric="euclidean"), "ivf"),
        (Wish(1000, 128, memory=100_000), "codes4"),
    ],
)
def test_rule(wish: Wish, kind: str):
    assert choose(wish)[0] == kind


def test_the_finest_codes_that_fit_are_taken():
    sizes = {budget: choose(Wish(MILLION, 512, memory=budget * MILLION)) for budget in (41, 29, 21)}
    assert [options["bits"] for _, options in sizes.values()] == [64, 32, 32]
    assert [options["rerank"] for _, options in sizes.values()] == [128, 64, None]
    for budget, (kind, options) in sizes.items():
        assert bytes_per_item(kind, 512, options) <= budget


def test_what_never_fits_is_refused():
    with pytest.raises(InputError, match="19000000 bytes"):
        choose(Wish(MILLION, 512, memory=10))
    with pytest.raises(InputError, match="recall"):
        choose(Wish(10, 4, recall=2))


def test_options_go_to_the_kind_that_has_them():
    assert choose(Wish(MILLION, 128, options={"n_lists": 9, "links": 4}))[1] == {"n_lists": 9}
    index = make_index("auto", dim=4, n_items=10)
    assert index.kind == "exact"


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw", "codes4"])
def test_bytes_are_those_of_the_file(kind: str, tmp_path):
    """What an item takes in memory is nearly what it takes in the file: the same arrays."""
    rows = np.random.default_rng(0).standard_normal((6000, 32)).astype(np.float32)
    options = {"bits": 32} if kind == "codes4" else {}
    index, empty = make_index(kind, **options), make_index(kind, **options)
    empty.train(rows, n_items=6000)
    index.add(np.arange(6000), rows)
    index.write(tmp_path / "full")
    fixed = 0
    if kind != "exact":
        empty.write(tmp_path / "empty")
        fixed = (tmp_path / "empty").stat().st_size
    grown = ((tmp_path / "full").stat().st_size - fixed) / 6000
    assert grown == pytest.approx(bytes_per_item(kind, 32, options), rel=0.15, abs=9)
