"""Every method under one contract: `__all__` is the only list there is."""

from commonspace.methods.baselines.acmr import ACMR
from commonspace.methods.baselines.adamine import AdaMine
from commonspace.methods.baselines.cbt_lite import CBTLite
from commonspace.methods.baselines.cca import CCA
from commonspace.methods.baselines.ccl_lite import CCLLite
from commonspace.methods.baselines.cdq import CDQ
from commonspace.methods.baselines.cmpm import CMPM
from commonspace.methods.baselines.corr_ae import CorrAE
from commonspace.methods.baselines.dcca import DCCA, DCCAE
from commonspace.methods.baselines.deep_sm import DeepSM
from commonspace.methods.baselines.gmlda import GMLDA
from commonspace.methods.baselines.gsssl import GSSSL
from commonspace.methods.baselines.jrl import JRL
from commonspace.methods.baselines.kcca import KCCA
from commonspace.methods.baselines.mcca import MCCA, ThreeViewCCA
from commonspace.methods.baselines.mlcca import MLCCA
from commonspace.methods.baselines.mvda import MvDA
from commonspace.methods.baselines.mvdn import MvDN
from commonspace.methods.baselines.mvldan import MvLDAN
from commonspace.methods.baselines.pls import CFA, PLS
from commonspace.methods.baselines.recipe import Recipe
from commonspace.methods.baselines.ridge import Ridge
from commonspace.methods.baselines.sm import SM
from commonspace.methods.baselines.sup_con import SupCon
from commonspace.methods.baselines.zero_shot import ZeroShot
from commonspace.methods.msdmml import MSDMML
from commonspace.methods.sdml import SDML
from commonspace.methods.sequential import Sequential
from commonspace.methods.spdq import SPDQ

__all__ = [
    "ACMR",
    "CCA",
    "CDQ",
    "CFA",
    "CMPM",
    "DCCA",
    "DCCAE",
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
    "AdaMine",
    "CBTLite",
    "CCLLite",
    "CorrAE",
    "DeepSM",
    "MvDA",
    "MvDN",
    "MvLDAN",
    "Recipe",
    "Ridge",
    "Sequential",
    "SupCon",
    "ThreeViewCCA",
    "ZeroShot",
]
