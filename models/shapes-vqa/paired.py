"""Paired differences of accuracies, with intervals that stay honest where few answers change."""
from __future__ import annotations

import dataclasses

import numpy as np

Z = 1.959964


@dataclasses.dataclass(frozen=True)
class Difference:
    """In points (hundredths): the difference as it is, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})'


def difference(right: np.ndarray, reference: np.ndarray) -> Difference:
    """Of two answers to each of the same questions. Bonett and Price (2012): one is added to either kind of change."""
    n = len(right)
    lost, won = int((reference & ~right).sum()), int((right & ~reference).sum())
    down, up = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    half = Z * ((down + up - (up - down) ** 2) / (n + 2)) ** 0.5
    centre = up - down
    return Difference(100 * (won - lost) / n, 100 * (centre - half), 100 * (centre + half))


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of numbers, one an example, and its 95 % interval."""
    mean, half = float(values.mean()), Z * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half
