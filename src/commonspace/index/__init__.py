"""Search over vectors: exact first, approximate kinds behind the same methods.

`make_index` makes one of any kind, `choose` says which suits how many items.
"""

from commonspace.index.base import Index, Neighbours
from commonspace.index.binary import BinaryIndex
from commonspace.index.choice import MOST_READ, Wish, bytes_per_item, choose
from commonspace.index.codes import CodesIndex, FastCodesIndex
from commonspace.index.exact import ExactIndex
from commonspace.index.factory import KINDS, make_index, read_index
from commonspace.index.hnsw import HNSWIndex
from commonspace.index.ivf import IVFIndex
from commonspace.index.product import OPQIndex, PQIndex
from commonspace.index.slots import SlotIndex
from commonspace.index.vectors import Metric

__all__ = [
    "KINDS",
    "MOST_READ",
    "BinaryIndex",
    "CodesIndex",
    "ExactIndex",
    "FastCodesIndex",
    "HNSWIndex",
    "IVFIndex",
    "Index",
    "Metric",
    "Neighbours",
    "OPQIndex",
    "PQIndex",
    "SlotIndex",
    "Wish",
    "bytes_per_item",
    "choose",
    "make_index",
    "read_index",
]
