"""Metrics as pure functions of arrays, protocols that name every choice, and tests of difference.

`evaluate` scores a model under a `Protocol` and returns a `Report`; `compare` tests two of them.
"""

from commonspace.evaluation.curves import Curves
from commonspace.evaluation.engine import score_vectors
from commonspace.evaluation.evaluator import chance, evaluate
from commonspace.evaluation.graded import average_cumulative_gain, weighted_average_precision
from commonspace.evaluation.health import Finding, Health, inspect, plot_health
from commonspace.evaluation.metrics import (
    average_precision,
    label_overlap,
    ndcg,
    precision_at,
    precision_recall_curve,
    precision_scope_curve,
    recall_at,
)
from commonspace.evaluation.plots import plot_curves
from commonspace.evaluation.protocol import Protocol
from commonspace.evaluation.report import Report, Score
from commonspace.evaluation.sequences import Course, score_directions
from commonspace.evaluation.significance import (
    Comparison,
    Difference,
    bootstrap_interval,
    compare,
    holm,
    sign_flip_p,
)
from commonspace.evaluation.ties import TiedScore, tied_average_precision

__all__ = [
    "Comparison",
    "Course",
    "Curves",
    "Difference",
    "Finding",
    "Health",
    "Protocol",
    "Report",
    "Score",
    "TiedScore",
    "average_cumulative_gain",
    "average_precision",
    "bootstrap_interval",
    "chance",
    "compare",
    "evaluate",
    "holm",
    "inspect",
    "label_overlap",
    "ndcg",
    "plot_curves",
    "plot_health",
    "precision_at",
    "precision_recall_curve",
    "precision_scope_curve",
    "recall_at",
    "score_directions",
    "score_vectors",
    "sign_flip_p",
    "tied_average_precision",
    "weighted_average_precision",
]
