"""The memory: its balance as a property, against a reservoir that sees one row after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.methods.memory import NO_CLASS, Memory, shares


def rows(modality: int, labels: list[int] | np.ndarray, n_classes: int, seed: int = 0) -> Memory:
    y = np.eye(n_classes, dtype=np.float32)[labels]
    x = np.arange(len(y), dtype=np.float32)[:, None]
    return Memory.of(modality, x, y, y * 2, seed=seed)


def cells(memory: Memory) -> dict[tuple[int, int], int]:
    pairs = zip(memory.modality.tolist(), memory.cell.tolist(), strict=True)
    found: dict[tuple[int, int], int] = {}
    for pair in pairs:
        found[pair] = found.get(pair, 0) + 1
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 200))
def test_shares_are_as_equal_as_what_is_there_allows(available, capacity):
    found = shares(np.array(available), capacity)
    assert found.sum() == min(capacity, sum(available)) and (found <= available).all()
    short = found < np.array(available)
    if short.any():
        assert found[short].max() - found[short].min() <= 1
        assert found.max() <= found[short].max() + 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=60), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_cells_stay_balanced_over_stages(stages, capacity, seed):
    """Every stage's rows are offered once; cells that were offered more stay within one."""
    memory = Memory.empty(1, 5)
    offered: dict[tuple[int, int], int] = {}
    for number, labels in enumerate(stages):
        memory = memory.joined(rows(number, labels, 5, seed)).cut(capacity)
        offered |= {(number, k): labels.count(k) for k in set(labels)}
        assert len(memory) <= capacity
        found = cells(memory)
        assert all(size <= offered[cell] for cell, size in found.items())
        largest = max(found.values())
        held = {cell: found.get(cell, 0) for cell in offered if cell[0] == number}
        for cell, size in held.items():
            assert size >= min(offered[cell], largest - 1)


def test_what_a_cell_keeps_is_a_uniform_sample():
    counts = np.zeros(10)
    for seed in range(400):
        memory = rows(0, [0] * 10, 1, seed).cut(3)
        counts[memory.x[:, 0].astype(int)] += 1
    assert counts.sum() == 1200 and counts.min() > 85 and counts.max() < 155  # 120 ± 3 sd


def test_sizes_are_those_of_a_reservoir_that_sees_rows_one_by_one():
    """Chrysakis and Moens, Alg. 1, in plain Python."""
    rng = np.random.default_rng(0)
    labels = rng.choice(4, size=300, p=[0.6, 0.25, 0.12, 0.03])
    capacity, stored, seen = 40, {k: 0 for k in range(4)}, {k: 0 for k in range(4)}
    for k in labels.tolist():
        seen[k] += 1
        if sum(stored.values()) < capacity:
            stored[k] += 1
        elif stored[k] < max(stored.values()):
            stored[max(stored, key=stored.__getitem__)] -= 1
            stored[k] += 1
    found = cells(rows(0, labels, 4).cut(capacity))
    for k in range(4):
        assert abs(found[0, k] - stored[k]) <= 1


def test_seeded_and_nested():
    memory = rows(0, [0, 1] * 20, 2)
    again = rows(0, [0, 1] * 20, 2)
    for key, array in memory.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[key])
    assert not np.array_equal(memory.x, rows(0, [0, 1] * 20, 2, seed=1).x)
    small, large = memory.cut(6), memory.cut(12)
    assert set(small.x[:, 0]) < set(large.x[:, 0])


def test_rows_of_several_classes_go_to_the_rarest_and_of_none_to_their_own():
    y = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]], np.float32)
    memory = Memory.of(0, np.arange(4, dtype=np.float32)[:, None], y, y, seed=0)
    by_row = dict(zip(memory.x[:, 0].tolist(), memory.cell.tolist(), strict=True))
    assert by_row == {0.0: 1, 1.0: 0, 2.0: NO_CLASS, 3.0: 2}


def test_new_classes_have_no_logit_yet():
    memory = rows(0, [0, 1], 2).with_classes(4)
    assert memory.y.shape == memory.logits.shape == (2, 4)
    assert np.isnan(memory.logits[:, 2:]).all() and np.isfinite(memory.logits[:, :2]).all()
    assert not memory.y[:, 2:].any()


def test_bytes_are_counted():
    memory = rows(0, [0, 1, 1], 2)
    assert memory.n_bytes == 3 * (4 + 2 * 4 + 2 * 4 + 8 + 8)
    assert Memory.empty(3, 2).n_bytes == 0
    assert len(Memory.from_arrays(memory.arrays())) == 3


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_fewer_places_than_cells(capacity):
    memory = rows(0, [0, 1, 2, 3] * 3, 4).cut(capacity)
    assert len(memory) == capacity and max(cells(memory).values()) == 1
