from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.data import describe_file, import_file, import_table
from commonspace.errors import InputError, NotFoundError


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "t.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_whole_convention(write):
    path = write(
        "item, image,text,label,split \n"
        'a,0.5 1 -2e-1,"a cat, asleep",cat,Train\n'
        'b,"[1, 2, 3]",,dog,train\n'
        "c,,only words,,test\n"
        'd,7 8 9,"two\nlines",cat,val\n'
    )
    splits = import_table(path)
    assert list(splits) == ["train", "valid", "test"] and splits.name == "t"
    assert splits.classes == ("cat", "dog")
    train = splits["train"]
    assert train.x("image").dtype == np.float32
    assert np.array_equal(train.x("image"), np.float32([[0.5, 1, -0.2], [1, 2, 3]]))
    assert train.x("text").tolist() == ["a cat, asleep"]
    assert train["image"].items.tolist() == ["a", "b"] and train["text"].items.tolist() == ["a"]
    assert train.labels("image").codes.tolist() == [0, 1]
    assert splits["test"].modalities == ("text",)
    assert not splits["test"].labels("text").known.any()
    assert splits["valid"].x("text").tolist() == ["two\nlines"]
    assert train.pairs("image", "text")[0].tolist() == [0]


def test_without_split_and_ids_all_is_train_and_rows_are_numbered(write):
    splits = import_table(write("image,label\n1 2,a\n\n3 4,b\n"))
    assert list(splits) == ["train"]
    assert splits["train"]["image"].items.tolist() == ["0", "1"]


def test_numbered_classes_sort_by_value(write):
    splits = import_table(write("image,label\n1 2,10\n3 4,9\n5 6,2\n"))
    assert splits.classes == ("2", "9", "10")


def test_several_classes_and_none(write):
    text = 'image,label\n1 2,a;b\n3 4,"[""b"", ""c;d""]"\n5 6,[]\n7 8,\n'
    labels = import_table(write(text))["train"].labels("image")
    assert labels.classes == ("a", "b", "c;d") and labels.kind == "multi"
    assert labels.dense().tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert labels.known.tolist() == [True, True, True, False]


def test_graded_weights(write):
    text = "image,label:cat,label:dog\n1 2,0.25,1\n3 4,,0.5\n5 6,,\n"
    labels = import_table(write(text))["train"].labels("image")
    assert labels.classes == ("cat", "dog") and labels.kind == "graded"
    assert labels.dense().tolist() == [[0.25, 1], [0, 0.5], [0, 0]]
    assert labels.known.tolist() == [True, True, False]


def test_wide_columns_are_one_modality(write):
    splits = import_table(write("image[1],image[0],label\n2,1,a\n,,b\n4,3,a\n"))
    part = splits["train"]["image"]
    assert part.x.tolist() == [[1, 2], [3, 4]] and part.items.tolist() == ["0", "2"]


def test_npy_files_and_pictures(write, tmp_path):
    np.save(tmp_path / "v.npy", np.arange(3))
    np.save(tmp_path / "w.npy", np.ones((1, 3)))
    (tmp_path / "p.png").write_bytes(b"not read")
    elsewhere = tmp_path / "w.npy"
    text = f"vector,picture,label\nv.npy,p.png,a\n{elsewhere},,b\n"
    train = import_table(write(text))["train"]
    assert train.x("vector").tolist() == [[0, 1, 2], [1, 1, 1]]
    assert train.x("picture").tolist() == [str((tmp_path / "p.png").resolve())]


def test_explicit_modalities_kinds_classes_and_column_names(write):
    text = "uid,vec,words,kind,part\nx,1 2,3 4,b,dev\ny,5 6,7 8,a,train\n"
    splits = import_table(
        write(text),
        modalities={"text": "words", "image": "vec"},
        kinds={"words": "text"},
        label="kind",
        split="part",
        item="uid",
        classes=["b", "a", "never seen"],
        name="mine",
    )
    assert splits.modalities == ("text", "image") and splits.name == "mine"
    assert splits["train"].x("text").tolist() == ["7 8"]
    assert splits["valid"].labels("image").codes.tolist() == [0]
    assert splits.classes == ("b", "a", "never seen")


def test_label_none_reads_no_labels(write):
    splits = import_table(write("image,label\n1 2,a b\n"), label=None)
    assert splits["train"].x("label").tolist() == ["a b"] and splits.classes == ()


def test_short_numbers_among_words_are_text(write):
    splits = import_table(write("title,label\n1984,a\nAnimal farm,b\n12 30,a\n"))
    assert splits["train"].x("title").tolist() == ["1984", "Animal farm", "12 30"]


def test_nothing_but_numbers_is_a_modality_of_one_number(write):
    text = "price,year,title,label\n1.5,1984,1984,a\n-2,,12,b\n1e3,2001,x,a\n"
    train = import_table(write(text))["train"]
    assert train.x("price").tolist() == [[1.5], [-2], [1000]]
    assert train.x("year").tolist() == [[1984], [2001]]
    assert train.x("title").tolist() == ["1984", "12", "x"]
    kept = import_table(write(text), kinds={"price": "text"})["train"]
    assert kept.x("price").tolist() == ["1.5", "-2", "1e3"]


def test_a_lone_number_among_vectors_is_a_mistake(write):
    with pytest.raises(InputError, match=r"line 3, column 'image'.*vector"):
        import_table(write("image,label\n1 2,a\n3,b\n4 5,a\n"))


def test_a_column_called_id_holds_the_ids(write):
    splits = import_table(write("id,image,label\nx,1 2,a\ny,3 4,b\n"))
    assert splits.modalities == ("image",)
    assert splits["train"]["image"].items.tolist() == ["x", "y"]
    path = write("id,item,image\n9 9,p,1 2\n8 8,q,3 4\n")
    train = import_table(path)["train"]
    assert train.modalities == ("id", "image") and train["id"].items.tolist() == ["p", "q"]
    path = write("id,image\na b,1 2\nc d,3 4\n")
    assert import_table(path, item=None).modalities == ("id", "image")
    assert import_table(path, modalities=["id"])["train"].x("id").tolist() == ["a b", "c d"]
    with pytest.raises(InputError, match=r"line 3, column 'id'.*'a', which also stands on line 2"):
        import_table(write("id,image\na,1 2\na,3 4\n"))


def test_tsv_and_byte_order_mark(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("\ufeffimage\tlabel\n1 2\ta\n", encoding="utf-8")
    assert import_table(path).modalities == ("image",)


def test_jsonl_with_columns_that_come_late(write):
    rows = [
        {"item": 1, "image": [1, 2.5], "label": "a"},
        {"item": 2, "label": ["a", "b"], "text": "late"},
        {"item": 3, "image": [3, 4], "label": None},
        {"item": 4, "image": "5 6", "label": 7},
    ]
    path = write("\n".join(map(json.dumps, rows)) + "\n\n", "t.jsonl")
    train = import_table(path)["train"]
    assert train.x("image").tolist() == [[1, 2.5], [3, 4], [5, 6]]
    assert train["text"].items.tolist() == ["2"]
    assert train.labels("image").classes == ("7", "a", "b")
    assert train.labels("image").known.tolist() == [True, False, True]


def test_parquet_lists_of_both_kinds_and_categories(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "image": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32())),
            "audio": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int16(), 2)),
            "text": pa.array(["a", "b", ""]).dictionary_encode(),
            "label": pa.array([["x"], ["x", "y"], None]),
            "image_tag[0]": pa.array([0.5, None, 0.25]),
            "split": ["train", "train", "test"],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    splits = import_table(tmp_path / "t.parquet")
    assert splits["train"].x("image").tolist() == [[1, 2]]
    assert splits["train"].x("audio").tolist() == [[1, 2], [3, 4]]
    assert splits["test"].modalities == ("image", "audio", "image_tag")
    assert splits["train"].labels("audio").dense().tolist() == [[1, 0], [1, 1]]


def test_more_rows_than_a_batch(tmp_path):
    x = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split"])
        for row, values in enumerate(x):
            part = "test" if row % 3 == 0 else "train"
            writer.writerow([" ".join(map(repr, values.tolist())), row % 7, part])
    splits = import_table(tmp_path / "t.csv")
    assert np.array_equal(splits["test"].x("image"), x[::3])
    assert splits["test"].labels("image").codes.tolist() == [r % 7 for r in range(0, 9000, 3)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header"),
        ("image,label\n", "at least one column"),
        ("image,image\n1 2,3 4\n", "line 1.*'image' twice"),
        ("image,\n1 2,3\n", "line 1.*none for column 2"),
        ("image,label\n1 2\n", r"line 2.*expected 2 cells.*got 1"),
        ('image,label\n1 2,a\n"1 2,b\n', "line 3.*row of CSV"),
        ("image,label\n1 2,a\n1 2 3,b\n", r"line 3, column 'image'.*expected 2 numbers.*got 3"),
        ("image,label\n1 2,a\n1 nan,b\n", "line 3, column 'image'.*finite.*nan at position 1"),
        ("image,label\n1 2,a\n1 1e99,b\n", "line 3, column 'image'.*float32.*inf"),
        ("image,label\n1 2,a\n3 4,b\n1 x,b\n", "line 4, column 'image'.*vector.*'1 x'.*kinds="),
        ("image,label\n1 2,a\n[1;2],b\n3 4,c\n", "line 3, column 'image'"),
        ("image,label\n1 2,a;;b\n", "line 2, column 'label'"),
        ('image,label\n1 2,"[1"\n', "line 2, column 'label'"),
        ('image,label\n1 2,"[{}]"\n', "line 2, column 'label'"),
        ("image,label:a\n1 2,1.5\n", r"line 2, column 'label:a'.*0 to 1.*'1.5'"),
        ("image,label:a\n1 2,nan\n", "line 2, column 'label:a'"),
        ("image,label,label:a\n1 2,x,1\n", "got both"),
        ("image,split\n1 2,train\n3 4,\n", "line 3, column 'split'.*empty"),
        ("item,image\na,1 2\na,3 4\n", "line 3, column 'item'.*'a', which also stands on line 2"),
        ("item,image\n,1 2\n", "line 2, column 'item'.*empty"),
        ("image[0],image[2]\n1,2\n", r"none named 'image\[1\]'"),
        ("image[0],image[1]\n1,2\n1,\n", r"line 3, column 'image'.*1 empty.*'image\[1\]'"),
        ("image[0],image\n1,2 3\n", "got both"),
        ("v\nmissing.npy\n", "line 2, column 'v'.*existing file.*not there"),
        ("v\n../out.npy\n", "line 2, column 'v'.*inside the table's folder"),
    ],
)
def test_every_mistake_names_its_place(write, text, words):
    path = write(text)
    with pytest.raises(InputError, match=words) as caught:
        import_table(path)
    assert str(path) in str(caught.value)


def test_mistakes_in_jsonl(write):
    for text, words in [
        ("{", "line 1.*JSON"),
        ("[1]", "line 1.*object, got list"),
        ('{"image": [1, 2]}\n{"image": [1, "x"]}', "line 2, column 'image'.*vector"),
        ('{"image": [1, 2]}\n{"image": [[1], [2]]}', "line 2, column 'image'.*vector"),
        ('{"image": [1, 2]}\n{"image": true}', "line 2, column 'image'.*vector"),
        ('{"image": [1, 2], "label": true}', "line 1, column 'label'"),
        ('{"image": [1, 2], "label": {"a": 1}}', "line 1, column 'label'"),
        ('{"image": [1, 2], "item": "a"}\n{"image": [1, 2]}', "line 2, column 'item'.*empty"),
        ('{"image": [1, 2], "split": "a"}\n{"image": [1, 2]}', "line 2, column 'split'.*empty"),
        ('{"image": [1, 2]}\n' * 4096 + '{"image": [1, 2], "item": "a"}', "4096 rows.* no id"),
        ('{"image": [1, 2]}\n' * 4096 + '{"image": [1, 2], "split": "a"}', "rows have no 'split'"),
    ]:
        with pytest.raises(InputError, match=words):
            import_table(write(text, "t.jsonl"))


def test_pickles_are_never_loaded(write, tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"line 2, column 'v'.*\.npy"):
        import_table(write("v\nv.npy\n"))
    np.save(tmp_path / "m.npy", np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        import_table(write("v\nm.npy\n"))


def test_absent_files_columns_and_wrong_options(write, tmp_path):
    path = write("image,label\n1 2,a\n")
    with pytest.raises(NotFoundError, match=r"nothing\.csv"):
        import_table(tmp_path / "nothing.csv")
    with pytest.raises(NotFoundError, match=r"'imag'.*Did you mean 'image'"):
        import_table(path, modalities=["imag"])
    with pytest.raises(NotFoundError, match="class named 'a'"):
        import_table(path, classes=["b"])
    for role in ("label", "split", "item"):
        with pytest.raises(NotFoundError, match=rf"'labl'.*It was to hold the {role}"):
            import_table(path, **{role: "labl"})
    with pytest.raises(InputError, match="kinds"):
        import_table(path, kinds={"image": "sound"})
    with pytest.raises(InputError, match="list of names"):
        import_table(path, modalities="image")
    with pytest.raises(InputError, match="'labels'"):
        import_file(path, labels="label")
    with pytest.raises(InputError, match=r"suffix '\.xls'"):
        import_file(tmp_path / "t.xls")


def test_not_utf8_and_not_parquet(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"text,label\ncaf\xe9,a\n")
    with pytest.raises(InputError, match="0xe9"):
        import_table(tmp_path / "t.csv")
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a readable Parquet"):
        import_table(tmp_path / "t.parquet")


def test_describe_names_columns_and_what_they_hold(write):
    path = write("item,image,text,label,empty\na,1 2,x,c,\nb,,y,d,\n")
    infos = {info.name: (info.shape, info.dtype) for info in describe_file(path)}
    assert infos["image"] == ((1, 2), "vector") and infos["text"] == ((2,), "text")
    assert infos["label"] == ((2,), "label") and infos["empty"] == ((0,), "empty")


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(
    lambda text: not text.isspace()
)


@given(st.lists(st.tuples(st.tuples(numbers, numbers), words), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "label"])
        for vector, text in rows:
            writer.writerow([json.dumps(vector), text, "a"])
    train = import_table(path, kinds={"text": "text"})["train"]
    assert np.array_equal(train.x("image"), np.array([v for v, _ in rows], np.float32))
    assert train.x("text").tolist() == [text for _, text in rows]
