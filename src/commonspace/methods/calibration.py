"""From logits to probabilities one can trust: a temperature, fitted to validation rows.

By their log likelihood, with a weak pull towards 1, so that a handful of rows cannot turn it
upside down.

References:
    [1] Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from commonspace.types import FloatArray

PULL = 4.0  # in nats, at a factor e of the temperature
LOG_RANGE = (-2.5, 3.0)


def fit_temperature(logits_NC: FloatArray, y_NC: FloatArray, *, several: bool) -> float:
    """Return the T > 0 for which logits / T are best calibrated on these rows [1].

    1 without rows.

    Args:
        logits_NC: One logit a class.
        y_NC: Label weights.
        several: Whether every class is a yes-or-no of its own.
    """

    def cost(log_t: float) -> float:
        scaled = logits_NC / np.exp(log_t)
        return _negative_log_likelihood(scaled, y_NC, several) + PULL * log_t**2

    if not len(y_NC):
        return 1.0
    return float(np.exp(minimize_scalar(cost, bounds=LOG_RANGE, method="bounded").x))


def calibrated_error(logits_NC: FloatArray, y_NC: FloatArray, *, several: bool) -> float:
    """Mean squared error (Brier score) of the posteriors at their `fit_temperature`.

    NaN without rows.

    Args:
        logits_NC: One logit a class.
        y_NC: Label weights.
        several: Whether every class is a yes-or-no of its own.
    """
    if not len(y_NC):
        return float("nan")
    return float(calibrated_errors(logits_NC, y_NC, several=several).mean())


def calibrated_errors(logits_NC: FloatArray, y_NC: FloatArray, *, several: bool) -> FloatArray:
    """Squared error of each row's posteriors at the `fit_temperature` of all, shape (n,)."""
    q_NC = posterior(logits_NC / fit_temperature(logits_NC, y_NC, several=several), several=several)
    target_NC = y_NC if several else _shares(y_NC)
    errors: FloatArray = np.square(q_NC - target_NC).sum(axis=1)
    return errors


def posterior(logits_NC: FloatArray, *, several: bool) -> FloatArray:
    """Sigmoid of each logit, or softmax of each row."""
    return np.asarray(expit(logits_NC) if several else softmax(logits_NC, axis=1))


def _negative_log_likelihood(logits_NC: FloatArray, y_NC: FloatArray, several: bool) -> float:
    if several:
        return float(-(y_NC * log_expit(logits_NC) + (1 - y_NC) * log_expit(-logits_NC)).sum())
    return float(-(_shares(y_NC) * log_softmax(logits_NC, axis=1)).sum())


def _shares(y_NC: FloatArray) -> FloatArray:
    return np.asarray(y_NC / y_NC.sum(axis=1, keepdims=True))
