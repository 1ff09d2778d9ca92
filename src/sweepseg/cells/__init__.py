"""Recurrent cells: parameters plus one op each."""

from .elman import Elman
from .gru import GRU
from .lstm import LSTM
from .min_gru import MinGRU
from .min_lstm import MinLSTM
from .output_elman import OutputElman

CELLS = {
    "elman": Elman,
    "gru": GRU,
    "lstm": LSTM,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "output_elman": OutputElman,
}

__all__ = ["CELLS", "GRU", "LSTM", "Elman", "MinGRU", "MinLSTM", "OutputElman"]
