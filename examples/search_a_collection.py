"""Keep items of several modalities in a folder, and search any of them by any other."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import commonspace as cs
from commonspace.data import make_dataset


def fill(folder: Path, model: cs.SDML, data: cs.Dataset) -> None:
    with cs.Collection.create(folder, space=model.space_) as items:
        for name, part in data.items():
            names = [data.classes[k] for k in part.labels.codes]
            payloads = [{"class": kind, "year": 2000 + row} for row, kind in enumerate(names)]
            # What add acknowledges by returning survives a crash.
            items.add(part.items, model.transform(name, part.x), modality=name, payloads=payloads)
        print(f"{len(items)} items: {items.modalities}")


def main() -> None:
    data = make_dataset(n_items=300, n_classes=5, dims={"image": 64, "text": 32}, noise=1.0)
    model = cs.SDML.fast(dim=64, schedule="serial").fit(data["train"])
    test = data["test"]
    query = model.transform("image", test.x("image")[:1])
    print("the query is a picture of", test.classes[test.labels("image").codes[0]])

    with TemporaryDirectory() as root:
        folder = Path(root) / "collection"
        fill(folder, model, test)
        with cs.Collection.open(folder, read_only=True) as items:
            for hit in items.search(query, k=3, modality="text").rows()[0]:
                print(f"  text {hit['id']:>4}  {hit['score']:.3f}  {hit['payload']['class']}")
            recent = {"year": {"gte": 2040}}
            found = items.search(query, k=2, where=recent)  # any modality, conditions on payloads
            print("from 2040 on:", [int(cell["year"]) for cell in found.payloads[0]])


if __name__ == "__main__":
    main()
