"""From a CSV of your own to answers: captions and measurements, some missing."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import commonspace as cs
from commonspace.data import import_table
from commonspace.encoders import BagOfWordsEncoder
from commonspace.store.pipelines import encode_raw

WORDS = {"fruit": "apple pear plum ripe sweet", "vehicle": "car lorry wheel fast road"}


def write_table(path: Path) -> None:
    """Stands for your file: one row an item, one column a modality, an empty cell is missing."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["item", "caption", "sensor", "label", "split"])
        for row in range(160):
            kind = draw.choice(list(WORDS))
            caption = " ".join(draw.choices(WORDS[kind].split(), k=4)) if row % 7 else ""
            sensor = " ".join(f"{draw.gauss(2 * (kind == 'fruit'), 1):.3f}" for _ in range(4))
            table.writerow([row, caption, sensor, kind, "test" if row % 4 == 0 else "train"])


def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "things.csv"
        write_table(path)
        data = import_table(path)
    print(data["train"])  # captions are texts still

    words = BagOfWordsEncoder.fit(data["train"].x("caption").tolist())
    encoders = {"caption": words.spec()}
    train, test = (encode_raw(data[split], encoders) for split in ("train", "test"))

    model = cs.Ridge(dim=32).fit(train)
    print(cs.evaluate(model, test))
    print("captions are read by:", model.encoders_["caption"]["kind"])
    query = model.transform("caption", words.encode(["a ripe apple"]))
    vectors = model.transform("sensor", test.x("sensor"))
    best = (vectors @ query[0]).argmax()
    print("a ripe apple:", test.classes[test.labels("sensor").codes[best]])


if __name__ == "__main__":
    main()
