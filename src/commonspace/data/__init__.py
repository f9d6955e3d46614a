"""Named modalities with their labels and splits, on disk and from many formats."""

from commonspace.data.catalog import list_datasets, load_dataset
from commonspace.data.dataset import Dataset, Modality, concatenate
from commonspace.data.folder import Splits, read_folder
from commonspace.data.importers import (
    describe_file,
    import_arrays,
    import_file,
    import_folder,
    import_table,
)
from commonspace.data.labels import Labels
from commonspace.data.sets.entry import CatalogEntry
from commonspace.data.synthetic import make_dataset

__all__ = [
    "CatalogEntry",
    "Dataset",
    "Labels",
    "Modality",
    "Splits",
    "concatenate",
    "describe_file",
    "import_arrays",
    "import_file",
    "import_folder",
    "import_table",
    "list_datasets",
    "load_dataset",
    "make_dataset",
    "read_folder",
]
