"""The one training loop: batches, seeds, early stop, checkpoints; it knows no method."""

from commonspace.training.loop import History, Networks, Settings, Task, train
from commonspace.training.run import Run, run_all
from commonspace.training.seeds import derive_seed
from commonspace.training.threads import compute_settings

__all__ = [
    "History",
    "Networks",
    "Run",
    "Settings",
    "Task",
    "compute_settings",
    "derive_seed",
    "run_all",
    "train",
]
