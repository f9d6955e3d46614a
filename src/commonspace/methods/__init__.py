"""Every method under one contract: `__all__` is the only list there is."""

from commonspace.methods.baselines.gmlda import GMLDA
from commonspace.methods.baselines.gsssl import GSSSL
from commonspace.methods.baselines.jrl import JRL
from commonspace.methods.baselines.mvda import MvDA
from commonspace.methods.baselines.ridge import Ridge
from commonspace.methods.baselines.sm import SM
from commonspace.methods.baselines.zero_shot import ZeroShot
from commonspace.methods.msdmml import MSDMML
from commonspace.methods.sdml import SDML
from commonspace.methods.sequential import Sequential
from commonspace.methods.spdq import SPDQ

__all__ = [
    "GMLDA",
    "GSSSL",
    "JRL",
    "MSDMML",
    "SDML",
    "SM",
    "SPDQ",
    "MvDA",
    "Ridge",
    "Sequential",
    "ZeroShot",
]
