"""What became of the inputs of `predict`."""

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError


@dataclass
class Predicted:
    """What became of the inputs.

    Attributes:
        done: Inputs whose mask or answer was written.
        skipped: Inputs whose outputs were there already.
        failed: Inputs that could not be used.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[InputError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some inputs failed, 4 all failed."""
        if not self.failed:
            return 0
        return 3 if self.done or self.skipped else 4
