"""Networks and how they are initialised; they do not know how they are trained."""

from commonspace.networks.branch import ACTIVATIONS, Branch
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
    "MetricBranch",
    "PictureBranch",
    "PosteriorEncoder",
    "Representations",
    "SharedPrivateNetwork",
    "Standardize",
    "SupervisedAutoencoder",
    "UnifiedTrunk",
    "filled",
    "l2_normalize",
]
