"""Every method under one contract: `__all__` is the only list there is."""

from commonspace.methods.baselines.cca import CCA
from commonspace.methods.baselines.kcca import KCCA
from commonspace.methods.baselines.mcca import MCCA, ThreeViewCCA
from commonspace.methods.baselines.mlcca import MLCCA
from commonspace.methods.baselines.pls import CFA, PLS
from commonspace.methods.baselines.ridge import Ridge
from commonspace.methods.baselines.sm import SM
from commonspace.methods.msdmml import MSDMML
from commonspace.methods.sdml import SDML
from commonspace.methods.sequential import Sequential
from commonspace.methods.spdq import SPDQ

__all__ = [
    "CCA",
    "CFA",
    "KCCA",
    "MCCA",
    "MLCCA",
    "MSDMML",
    "PLS",
    "SDML",
    "SM",
    "SPDQ",
    "Ridge",
    "Sequential",
    "ThreeViewCCA",
]
