"""Compact codes: fit, encode, decode, asymmetric distance.

`Quantizer` compresses the vectors of any space; `CodeIndex` searches its codes with FAISS.
"""

from commonspace.quantization.alignment import Alignment, prototypes
from commonspace.quantization.codebooks import (
    decode_words,
    learn_codebooks,
    one_hot,
    update_codebooks,
)
from commonspace.quantization.distance import (
    inner_products,
    lookup_tables,
    squared_distances,
    squared_norms,
)
from commonspace.quantization.icm import Assigner
from commonspace.quantization.packing import pack, unpack
from commonspace.quantization.quantizer import Quantizer
from commonspace.quantization.to_faiss import CodeHits, CodeIndex

__all__ = [
    "Alignment",
    "Assigner",
    "CodeHits",
    "CodeIndex",
    "Quantizer",
    "decode_words",
    "inner_products",
    "learn_codebooks",
    "lookup_tables",
    "one_hot",
    "pack",
    "prototypes",
    "squared_distances",
    "squared_norms",
    "unpack",
    "update_codebooks",
]
