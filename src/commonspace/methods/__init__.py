"""Every method under one contract: `__all__` is the only list there is."""

from commonspace.methods.baselines.cca import CCA
from commonspace.methods.baselines.gmlda import GMLDA
from commonspace.methods.baselines.gsssl import GSSSL
from commonspace.methods.baselines.jrl import JRL
from commonspace.methods.baselines.kcca import KCCA
from commonspace.methods.baselines.mcca import MCCA, ThreeViewCCA
from commonspace.methods.baselines.mlcca import MLCCA
from commonspace.methods.baselines.mvda import MvDA
from commonspace.methods.baselines.pls import CFA, PLS
from commonspace.methods.baselines.ridge import Ridge
from commonspace.methods.baselines.sm import SM
from commonspace.methods.baselines.zero_shot import ZeroShot
from commonspace.methods.msdmml import MSDMML
from commonspace.methods.sdml import SDML
from commonspace.methods.sequential import Sequential
from commonspace.methods.spdq import SPDQ

__all__ = [
    "CCA",
    "CFA",
    "GMLDA",
    "GSSSL",
    "JRL",
    "KCCA",
    "MCCA",
    "MLCCA",
    "MSDMML",
    "PLS",
    "SDML",
    "SM",
    "SPDQ",
    "MvDA",
    "Ridge",
    "Sequential",
    "ThreeViewCCA",
    "ZeroShot",
]
