"""Pure functions on tensors: the recurrences."""

from ._dispatch import use_backend
from .elman_scan import elman_scan
from .gru_scan import gru_scan
from .linear_scan import linear_scan
from .lstm_scan import lstm_scan

__all__ = ["elman_scan", "gru_scan", "linear_scan", "lstm_scan", "use_backend"]
