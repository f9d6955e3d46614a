"""Networks and how they are initialised; they do not know how they are trained."""

from commonspace.networks.branch import ACTIVATIONS, Branch
from commonspace.networks.dropout import Dropout
from commonspace.networks.inputs import ScaledInputs
from commonspace.networks.kernel import KernelMachine
from commonspace.networks.maps import FunctionOf, KernelMap, LinearMap, UnitRows
from commonspace.networks.metric import MetricBranch
from commonspace.networks.mlp import MLP, Standardize, l2_normalize
from commonspace.networks.picture import PictureBranch
from commonspace.networks.posterior import PosteriorEncoder, filled
from commonspace.networks.sdml import SupervisedAutoencoder
from commonspace.networks.spdq import Representations, SharedPrivateNetwork
from commonspace.networks.unified import Adapter, UnifiedTrunk

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Adapter",
    "Branch",
    "Dropout",
    "FunctionOf",
    "KernelMachine",
    "KernelMap",
    "LinearMap",
    "MetricBranch",
    "PictureBranch",
    "PosteriorEncoder",
    "Representations",
    "ScaledInputs",
    "SharedPrivateNetwork",
    "Standardize",
    "SupervisedAutoencoder",
    "UnifiedTrunk",
    "UnitRows",
    "filled",
    "l2_normalize",
]
