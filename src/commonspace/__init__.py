"""Cross-modal retrieval in one predefined space.

Import as ``import commonspace as cs``. Names are loaded when first used, so that the import itself
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from commonspace.data import Dataset, Labels, load_dataset
    from commonspace.evaluation import Protocol, Report, evaluate, inspect
    from commonspace.methods import MSDMML, SDML, SM, SPDQ, Ridge, Sequential
    from commonspace.service import Client
    from commonspace.space import Space
    from commonspace.store.collection import Collection
    from commonspace.store.models import load, save

_HOMES = {
    "Client": "commonspace.service",
    "Collection": "commonspace.store.collection",
    "Dataset": "commonspace.data",
    "Labels": "commonspace.data",
    "MSDMML": "commonspace.methods",
    "Protocol": "commonspace.evaluation",
    "Report": "commonspace.evaluation",
    "Ridge": "commonspace.methods",
    "SDML": "commonspace.methods",
    "SM": "commonspace.methods",
    "SPDQ": "commonspace.methods",
    "Sequential": "commonspace.methods",
    "Space": "commonspace.space",
    "evaluate": "commonspace.evaluation",
    "inspect": "commonspace.evaluation",
    "load": "commonspace.store.models",
    "load_dataset": "commonspace.data",
    "save": "commonspace.store.models",
}

__all__ = [
    "MSDMML",
    "SDML",
    "SM",
    "SPDQ",
    "Client",
    "Collection",
    "Dataset",
    "Labels",
    "Protocol",
    "Report",
    "Ridge",
    "Sequential",
    "Space",
    "evaluate",
    "inspect",
    "load",
    "load_dataset",
    "save",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("commonspace")
    if name not in _HOMES:
        raise AttributeError(f"module 'commonspace' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
