"""Writers that are killed, files that are damaged, a disk that is full: in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from commonspace.benchmarks import torture
from commonspace.benchmarks.damage import damage_files
from commonspace.benchmarks.torture import bench_torture
from commonspace.benchmarks.torture_writer import Journal, applied, note, write
from commonspace.space import Space
from commonspace.store.collection import Collection


def test_nothing_acknowledged_is_lost(tmp_path: Path):
    found = bench_torture(kills=10, damages=10, kinds=("exact", "ivf"), folder=tmp_path)
    assert found["problems"] == [] and not any(found["ratios"].values())
    assert [row["kills"] for row in found["rows"]] == [5, 5]
    for row in found["rows"]:
        assert row["acknowledged"] >= 1100 and row["lost"] == row["wrong"] == 0
        assert sum(int(part.split(":")[1]) for part in row["under_way"].split()) == 5
    assert found["damage"]["named"] > 0 and found["damage"]["missed_places"] == []
    full = found["full"]
    assert full["kept"] and full["goes_on"] and full["problems"] == []
    assert (
        "Is the disk full" in full["error"] and "Nothing of this batch was stored" in full["error"]
    )
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_was_cut_off_knows_what_was_under_way(tmp_path: Path):
    path = tmp_path / "journal"
    add = {"op": "add", "batch": 1, "modality": "text", "ids": ["a", "b"]}
    delete = {"op": "delete", "batch": 2, "modality": "text", "ids": ["a"]}
    for entry in ({"begun": add}, {"ended": True}, {"begun": delete}):
        note(path, entry)
    path.write_bytes(path.read_bytes() + b'{"ended": tr')
    journal = Journal.read(path)
    assert journal.items == {("text", "a"): (1, 0), ("text", "b"): (1, 1)}
    assert journal.with_pending() == {("text", "b"): (1, 1)} == applied(journal.items, delete)
    assert journal.n_acknowledged == 2 and journal.n_steps == 1


def test_the_torture_sees_a_collection_that_loses_items(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(torture, "FEWEST", 30)
    victim = torture._Victim(tmp_path / "victim", "exact", 0)
    step = {"op": "add", "batch": 2, "modality": "text", "ids": ["lost"]}
    for entry in ({"begun": step}, {"ended": True}):
        note(victim.journal, entry)
    victim._look()
    assert victim.counts["lost"] == 1 and "1 items are missing" in victim.problems[0]


def test_a_writer_does_what_its_journal_says(tmp_path: Path):
    with Collection.create(tmp_path / "items", space=Space.create(8), index="exact"):
        pass
    (tmp_path / "journal").touch()
    write(tmp_path / "items", tmp_path / "journal", seed=1, most_steps=25)
    journal = Journal.read(tmp_path / "journal")
    assert journal.n_steps == 25 and journal.pending is None
    with Collection.open(tmp_path / "items", read_only=True) as items:
        assert len(items) == len(journal.items) > 100
        assert items.verify() == []


def test_damage_that_the_check_does_not_see_is_counted(tmp_path: Path, monkeypatch):
    with Collection.create(tmp_path / "items", space=Space.create(8), index="exact") as items:
        rows = np.random.default_rng(0).standard_normal((300, 8))
        items.add(range(300), rows, modality="text", payloads=[{"n": n} for n in range(300)])
    monkeypatch.setattr("commonspace.benchmarks.damage.check_collection", lambda folder: [])
    found = damage_files(tmp_path / "items", 15)
    assert found["missed"] > 0 and len(found["missed_places"]) == found["missed"]
