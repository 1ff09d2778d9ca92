"""Recurrent cells: parameters plus one op each."""

from .elman import Elman
from .gated_linear_attention import GatedLinearAttention
from .gru import GRU
from .lstm import LSTM
from .min_gru import MinGRU
from .min_lstm import MinLSTM
from .mlstm import MLSTM
from .output_elman import OutputElman
from .rg_lru import RGLRU
from .row_conv_gru import RowConvGRU
from .row_conv_lstm import RowConvLSTM
from .selective_ssm import SelectiveSSM

CELLS = {
    "elman": Elman,
    "gated_linear_attention": GatedLinearAttention,
    "gru": GRU,
    "lstm": LSTM,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "mlstm": MLSTM,
    "output_elman": OutputElman,
    "rglru": RGLRU,
    "selective_ssm": SelectiveSSM,
}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "MLSTM",
    "RGLRU",
    "Elman",
    "GatedLinearAttention",
    "MinGRU",
    "MinLSTM",
    "OutputElman",
    "RowConvGRU",
    "RowConvLSTM",
    "SelectiveSSM",
]
