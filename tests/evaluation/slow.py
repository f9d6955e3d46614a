"""Slow, plain references: what the fast code must equal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np


def loop_ap(ranked, k=None, divide_by="all"):
    """Average precision of one ranking, a Python loop over ranks."""
    cut = len(ranked) if k is None else min(k, len(ranked))
    hits, total = 0, 0.0
    for rank in range(1, cut + 1):
        if ranked[rank - 1]:
            hits += 1
            total += hits / rank
    divisor = sum(map(bool, ranked)) if divide_by == "all" else hits
    return total / divisor if divisor else 0.0


def orders(groups):
    """Every distinct relevance pattern of (n, r) groups, with how likely it is."""
    patterns = [((), 1.0)]
    for n, r in groups:
        ways = [tuple(i in chosen for i in range(n)) for chosen in combinations(range(n), r)]
        patterns = [(p + w, q / comb(n, r)) for p, q in patterns for w in ways]
    return patterns


def all_orders_ap(scores, relevant, k=None, divide_by="all"):
    """Expected, worst and best average precision by trying every order of the ties."""
    groups = []
    for value in sorted(set(scores.tolist()), reverse=True):
        part = relevant[scores == value]
        groups.append((len(part), int(part.sum())))
    found = [(loop_ap(p, k, divide_by), q) for p, q in orders(groups)]
    values = [ap for ap, _ in found]
    return sum(ap * q for ap, q in found), min(values), max(values)


def cosine(queries, gallery):
    q = np.asarray(queries, dtype=np.float64)
    g = np.asarray(gallery, dtype=np.float64)
    return (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (
        g / np.linalg.norm(g, axis=1, keepdims=True)
    ).T


@dataclass
class Labels:
    weights: np.ndarray
    known: np.ndarray

    def dense(self):
        return np.where(self.known[:, None], self.weights, 0).astype(np.float32)

    def __len__(self):
        return len(self.weights)


@dataclass
class Table:
    x: np.ndarray
    labels: Labels

    @property
    def items(self):
        return np.arange(len(self.x)).astype(str)


@dataclass
class Data:
    tables: dict
    classes: tuple

    @property
    def modalities(self):
        return tuple(self.tables)

    def __getitem__(self, name):
        return self.tables[name]


def table(x, labels, n_classes):
    """One modality; labels (n,) with -1 for unknown, or (n, c) with NaN rows for unknown."""
    labels = np.asarray(labels)
    if labels.ndim == 1:
        known = labels >= 0
        weights = np.eye(n_classes)[np.where(known, labels, 0)]
    else:
        known = ~np.isnan(labels).any(axis=1)
        weights = np.nan_to_num(labels)
    return Table(np.asarray(x, dtype=np.float32), Labels(weights, known))


class Identity:
    def transform(self, modality, x):
        return x
