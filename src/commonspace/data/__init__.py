"""Named modalities with their labels and splits, on disk and from many formats."""

from commonspace.data.dataset import Dataset, Modality, concatenate
from commonspace.data.folder import Splits, read_folder
from commonspace.data.labels import Labels

__all__ = ["Dataset", "Labels", "Modality", "Splits", "concatenate", "read_folder"]
