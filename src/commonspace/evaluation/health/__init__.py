"""The health of a space: what is wrong with vectors, labels and pairs, and how bad it is."""

from commonspace.evaluation.health.findings import RULES, Finding, Severity
from commonspace.evaluation.health.inspection import inspect
from commonspace.evaluation.health.plots import plot_health
from commonspace.evaluation.health.report import Health

__all__ = ["RULES", "Finding", "Health", "Severity", "inspect", "plot_health"]
