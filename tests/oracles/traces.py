"""Eligibility traces, one entry at a time."""

import numpy as np

from tests.oracles.walk import every


def accumulating_trace(trace, visit, decay):
    """Fades, and grows by 1 at a visit."""
    after = np.zeros(trace.shape)
    for index, e, here, fading in every(trace, visit, decay):
        after[index] = fading * e
        if here:
            after[index] += 1.0
    return after


def replacing_trace(trace, visit, decay):
    """Fades, and is 1 at a visit."""
    after = np.zeros(trace.shape)
    for index, e, here, fading in every(trace, visit, decay):
        after[index] = 1.0 if here else fading * e
    return after
