"""From single moments at which somebody did something to the time they worked: pauses longer than a limit are cut out.

A pause no longer than the limit is work (reading, watching, thinking); a longer one counts for nothing at all. A pause
between moments at two cases counts for the first: there the person was until they turned to the other. So nobody's time
counts twice, however many windows are open. Cutting a log into sessions by a limit on inactivity: Catledge and Pitkow,
Computer Networks and ISDN Systems 27 (1995) 1065-1073.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]


def active_us(moments_us: Longs, about: NDArray[Any], *, limit_us: int) -> tuple[Longs, NDArray[Any], Longs]:
    """One person's moments [n] and what each was about [n], in any order: sorted moments, what they were about, and the
    microseconds of work that follow each one (0 before a pause beyond the limit, and after the last).
    """
    order = np.lexsort((about, moments_us))
    moments, about = moments_us[order], about[order]
    pauses = np.zeros(len(moments), dtype=np.int64)
    pauses[:-1] = np.diff(moments)
    pauses[pauses > limit_us] = 0
    return moments, about, pauses
