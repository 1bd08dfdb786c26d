"""Cohen's kappa: how much more two persons agree on labels than their own habits alone would let them.

Source: Cohen, Educational and Psychological Measurement 20 (1960) 37-46.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cohen(table: Floats) -> Floats:
    """Kappa of tables [..., labels, labels] of counts or shares: rows what one person said, columns what the other.

    NaN where it is not defined: nothing was compared, or both gave every case the same one label.
    """
    total = table.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = np.trace(table, axis1=-2, axis2=-1) / total
        by_chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / np.square(total)
        return np.asarray(np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan))
