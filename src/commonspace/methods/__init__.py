"""Every method under one contract: `__all__` is the only list there is."""

from commonspace.methods.baselines.deep_sm import DeepSM
from commonspace.methods.baselines.ridge import Ridge
from commonspace.methods.baselines.sm import SM
from commonspace.methods.msdmml import MSDMML
from commonspace.methods.sdml import SDML
from commonspace.methods.sequential import Sequential
from commonspace.methods.spdq import SPDQ

__all__ = [
    "MSDMML",
    "SDML",
    "SM",
    "SPDQ",
    "DeepSM",
    "Ridge",
    "Sequential",
]
