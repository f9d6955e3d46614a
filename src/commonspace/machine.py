"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from commonspace.types import JsonDict

_PACKAGES = ("commonspace", "numpy", "torch", "faiss-cpu", "scikit-learn")


def available_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> JsonDict:
    """Processor, system, threads and versions, for a benchmark's report."""
    return {
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "cpus": available_cores(),
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }
