"""Saying so when the gradients of a run die or blow up."""

from collections.abc import Callable

DEAD = 1e-7  # of a million weights each moves by 1e-10, a hundredth of what Adam adds to every denominator
BLOWN_UP = 1e4  # sound runs stay below 100; what is clipped to a norm of 1 is then noise of one picture
PATIENCE = 20  # steps in a row: a batch without an annotated pixel, or with a broken one, is no trend


class GradientWatch:
    """Warns when the norm of the gradient leaves [`DEAD`, `BLOWN_UP`] for `PATIENCE` steps, once until it comes back.

    Args:
        say: Takes the warning.

    >>> watch = GradientWatch(print)
    >>> for step in range(1, 41):
    ...     watch(1e-9, step)
    warning: the gradients have died: their norm is below 1e-07 since step 1; see sweepseg doctor --gradients
    """

    def __init__(self, say: Callable[[str], None]):
        self.say = say
        self._side, self._steps = 0, 0

    def __call__(self, norm: float, step: int) -> None:
        """Take note of the norm, before clipping, in a step that is done."""
        side = (norm > BLOWN_UP) - (norm < DEAD)
        self._side, self._steps = side, self._steps + 1 if side == self._side else 1
        if side and self._steps == PATIENCE:
            what = f"blown up: their norm is above {BLOWN_UP:g}" if side > 0 else f"died: their norm is below {DEAD:g}"
            since = step - PATIENCE + 1
            self.say(f"warning: the gradients have {what} since step {since}; see sweepseg doctor --gradients")
