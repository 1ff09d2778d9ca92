"""Pure functions on tensors: the recurrences."""

from ._dispatch import use_backend
from .conv_gru_scan import conv_gru_scan
from .conv_lstm_scan import conv_lstm_scan
from .elman_scan import elman_scan
from .gla_scan import gla_scan
from .gru_scan import gru_scan
from .line_scan import line_scan
from .linear_scan import linear_scan
from .lstm_scan import lstm_scan
from .md_lstm_scan import md_lstm_scan
from .min_gru_scan import min_gru_scan
from .min_lstm_scan import min_lstm_scan
from .mlstm_scan import mlstm_scan
from .selective_scan import selective_scan

__all__ = [
    "conv_gru_scan",
    "conv_lstm_scan",
    "elman_scan",
    "gla_scan",
    "gru_scan",
    "line_scan",
    "linear_scan",
    "lstm_scan",
    "md_lstm_scan",
    "min_gru_scan",
    "min_lstm_scan",
    "mlstm_scan",
    "selective_scan",
    "use_backend",
]
