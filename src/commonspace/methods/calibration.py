"""From logits to probabilities one can trust: a temperature each, and weights for a mixture.

Both are fitted to validation rows by their log likelihood, with a weak pull towards 1 and towards
equal weights, so that a handful of rows cannot turn them upside down.

References:
    [1] Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from commonspace.types import FloatArray

PULL = 4.0  # in nats at a factor e of the temperature, or at a weight of 1 against 0
LOG_RANGE = (-2.5, 3.0)
GRID = np.linspace(0, 1, 11)


def fit_temperature(logits_NC: FloatArray, y_NC: FloatArray, *, several: bool) -> float:
    """Return the T > 0 for which logits / T are best calibrated on these rows [1]."""

    def cost(log_t: float) -> float:
        scaled = logits_NC / np.exp(log_t)
        return _negative_log_likelihood(scaled, y_NC, several) + PULL * log_t**2

    return float(np.exp(minimize_scalar(cost, bounds=LOG_RANGE, method="bounded").x))


def calibrated_loss(logits_NC: FloatArray, y_NC: FloatArray, *, several: bool) -> float:
    """Mean negative log likelihood of the rows at their `fit_temperature`."""
    scaled = logits_NC / fit_temperature(logits_NC, y_NC, several=several)
    return _negative_log_likelihood(scaled, y_NC, several) / len(y_NC)


def fit_weights(logits: Sequence[FloatArray], y_NC: FloatArray, *, several: bool) -> FloatArray:
    """Return weights of a mixture of calibrated posteriors, shape (n_experts,), sum 1.

    Experts join one after the other, each with the share that helps the mixture so far most.
    """
    posteriors = [posterior(each, several=several) for each in logits]
    weights = np.ones(1)
    mixture = posteriors[0]
    for joining in posteriors[1:]:
        fair = 1 / (len(weights) + 1)
        costs = [
            _mixture_cost((1 - w) * mixture + w * joining, y_NC, several) + PULL * (w - fair) ** 2
            for w in GRID
        ]
        w = float(GRID[int(np.argmin(costs))])
        mixture = (1 - w) * mixture + w * joining
        weights = np.append((1 - w) * weights, w)
    return weights


def posterior(logits_NC: FloatArray, *, several: bool) -> FloatArray:
    """Sigmoid of each logit, or softmax of each row."""
    return np.asarray(expit(logits_NC) if several else softmax(logits_NC, axis=1))


def _negative_log_likelihood(logits_NC: FloatArray, y_NC: FloatArray, several: bool) -> float:
    if several:
        return float(-(y_NC * log_expit(logits_NC) + (1 - y_NC) * log_expit(-logits_NC)).sum())
    return float(-(_shares(y_NC) * log_softmax(logits_NC, axis=1)).sum())


def _mixture_cost(q_NC: FloatArray, y_NC: FloatArray, several: bool) -> float:
    q = np.clip(q_NC, 1e-12, 1 - 1e-12)
    if several:
        return float(-(y_NC * np.log(q) + (1 - y_NC) * np.log1p(-q)).sum())
    return float(-(_shares(y_NC) * np.log(q)).sum())


def _shares(y_NC: FloatArray) -> FloatArray:
    return np.asarray(y_NC / y_NC.sum(axis=1, keepdims=True))
