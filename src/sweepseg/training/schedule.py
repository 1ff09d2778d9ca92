"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

import math

ONE_CYCLE_WARMUP = 0.3


def learning_rate(step: int, steps: int, *, peak: float, schedule: str, warmup: float) -> float:
    """Learning rate of one optimizer step.

    Args:
        step: 0 to steps - 1.
        steps: Optimizer steps of the whole run.
        peak: Highest rate.
        schedule: "cosine": linear warm-up, then half a cosine to 0 (Loshchilov & Hutter 2017, arXiv:1608.03983).
            "one_cycle": half a cosine up from peak / 25 in 30 % of the steps, half a cosine down to peak / 25e4
            (Smith & Topin 2018, arXiv:1708.07120, with torch's constants).
        warmup: Share of the steps in which "cosine" warms up.

    >>> [round(learning_rate(s, 4, peak=1.0, schedule="cosine", warmup=0.25), 3) for s in range(4)]
    [1.0, 1.0, 0.75, 0.25]
    """
    if schedule == "one_cycle":
        rising = max(1.0, ONE_CYCLE_WARMUP * steps - 1)
        if step < rising:
            return _cosine(peak / 25, peak, step / rising)
        return _cosine(peak, peak / 25e4, (step - rising) / max(1.0, steps - 1 - rising))
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return _cosine(peak, 0.0, (step - rising) / max(1, steps - rising))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
