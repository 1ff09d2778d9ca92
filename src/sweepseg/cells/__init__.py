"""Recurrent cells: parameters plus one op each."""

from .elman import Elman
from .gru import GRU
from .lstm import LSTM
from .min_gru import MinGRU
from .min_lstm import MinLSTM
from .output_elman import OutputElman
from .rg_lru import RGLRU

CELLS = {
    "elman": Elman,
    "gru": GRU,
    "lstm": LSTM,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "output_elman": OutputElman,
    "rglru": RGLRU,
}

__all__ = ["CELLS", "GRU", "LSTM", "RGLRU", "Elman", "MinGRU", "MinLSTM", "OutputElman"]
