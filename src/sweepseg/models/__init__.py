"""The networks, one architecture a file; `MODELS` is what the command line chooses from."""

from collections.abc import Callable, Mapping

from torch import nn

from ..layers.stages import StagedModel
from .classifier import (
    renet_classifier,
    renet_classifier_control,
    sequential_classifier,
    sequential_classifier_control,
    sequential_classifier_gru,
    sequential_classifier_gru_control,
    sweepnet_classifier,
    sweepnet_classifier_control,
)
from .crnn import crnn, crnn_control
from .pixel_rnn import pixel_rnn_diagonal, pixel_rnn_diagonal_control, pixel_rnn_row, pixel_rnn_row_control
from .r2unet import r2unet, r2unet_control
from .recurrent_unet import recurrent_unet_small, recurrent_unet_small_control
from .referring import sweepnet_referring, sweepnet_referring_control, sweepnet_referring_wordless
from .reseg import reseg, reseg_control
from .rsis import rsis, rsis_control
from .sweepnet import (
    sweepnet_base,
    sweepnet_base_control,
    sweepnet_nano,
    sweepnet_nano_causal,
    sweepnet_nano_causal_control,
    sweepnet_nano_control,
    sweepnet_small,
    sweepnet_small_causal,
    sweepnet_small_causal_control,
    sweepnet_small_control,
)
from .textbook.classifiers import (
    cnn_baseline_classifier,
    conv_gru_classifier,
    conv_gru_classifier_control,
    conv_lstm_classifier,
    conv_lstm_classifier_control,
    pixel_lstm_classifier,
    pixel_lstm_classifier_control,
    region_gru_classifier,
    region_gru_classifier_control,
    simple_rnn_classifier,
    simple_rnn_classifier_control,
)
from .textbook.cnn_baseline import cnn_baseline
from .textbook.conv_gru import conv_gru, conv_gru_control
from .textbook.conv_lstm import conv_lstm, conv_lstm_control
from .textbook.pixel_lstm import pixel_lstm, pixel_lstm_control
from .textbook.region_gru import region_gru, region_gru_control
from .textbook.simple_rnn import simple_rnn, simple_rnn_control
from .textbook.time_distributed import time_distributed, time_distributed_control
from .video import sweepnet_small_video, sweepnet_small_video_control
from .volume import sweepnet_volume_small, sweepnet_volume_small_control

SEGMENTERS: dict[str, Callable[..., StagedModel]] = {
    "sweepnet_small": sweepnet_small,
    "sweepnet_small_control": sweepnet_small_control,
    "sweepnet_small_causal": sweepnet_small_causal,
    "sweepnet_small_causal_control": sweepnet_small_causal_control,
    "sweepnet_nano": sweepnet_nano,
    "sweepnet_nano_control": sweepnet_nano_control,
    "sweepnet_nano_causal": sweepnet_nano_causal,
    "sweepnet_nano_causal_control": sweepnet_nano_causal_control,
    "sweepnet_base": sweepnet_base,
    "sweepnet_base_control": sweepnet_base_control,
    "recurrent_unet_small": recurrent_unet_small,
    "recurrent_unet_small_control": recurrent_unet_small_control,
    "reseg": reseg,
    "reseg_control": reseg_control,
    "r2unet": r2unet,
    "r2unet_control": r2unet_control,
    "sweepnet_small_video": sweepnet_small_video,
    "sweepnet_small_video_control": sweepnet_small_video_control,
    "cnn_baseline": cnn_baseline,
    "conv_lstm": conv_lstm,
    "conv_lstm_control": conv_lstm_control,
    "pixel_lstm": pixel_lstm,
    "pixel_lstm_control": pixel_lstm_control,
    "conv_gru": conv_gru,
    "conv_gru_control": conv_gru_control,
    "region_gru": region_gru,
    "region_gru_control": region_gru_control,
    "simple_rnn": simple_rnn,
    "simple_rnn_control": simple_rnn_control,
    "time_distributed": time_distributed,
    "time_distributed_control": time_distributed_control,
}

VOLUME_SEGMENTERS: dict[str, Callable[..., StagedModel]] = {
    "sweepnet_volume_small": sweepnet_volume_small,
    "sweepnet_volume_small_control": sweepnet_volume_small_control,
}

CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "sweepnet_classifier": sweepnet_classifier,
    "sweepnet_classifier_control": sweepnet_classifier_control,
    "renet_classifier": renet_classifier,
    "renet_classifier_control": renet_classifier_control,
    "sequential_classifier": sequential_classifier,
    "sequential_classifier_control": sequential_classifier_control,
    "sequential_classifier_gru": sequential_classifier_gru,
    "sequential_classifier_gru_control": sequential_classifier_gru_control,
    "cnn_baseline_classifier": cnn_baseline_classifier,
    "conv_lstm_classifier": conv_lstm_classifier,
    "conv_lstm_classifier_control": conv_lstm_classifier_control,
    "pixel_lstm_classifier": pixel_lstm_classifier,
    "pixel_lstm_classifier_control": pixel_lstm_classifier_control,
    "conv_gru_classifier": conv_gru_classifier,
    "conv_gru_classifier_control": conv_gru_classifier_control,
    "region_gru_classifier": region_gru_classifier,
    "region_gru_classifier_control": region_gru_classifier_control,
    "simple_rnn_classifier": simple_rnn_classifier,
    "simple_rnn_classifier_control": simple_rnn_classifier_control,
}
READERS: dict[str, Callable[..., nn.Module]] = {"crnn": crnn, "crnn_control": crnn_control}
GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "pixel_rnn_row": pixel_rnn_row,
    "pixel_rnn_row_control": pixel_rnn_row_control,
    "pixel_rnn_diagonal": pixel_rnn_diagonal,
    "pixel_rnn_diagonal_control": pixel_rnn_diagonal_control,
}
DETECTORS: dict[str, Callable[..., nn.Module]] = {"rsis": rsis, "rsis_control": rsis_control}
REFERRERS: dict[str, Callable[..., nn.Module]] = {
    "sweepnet_referring": sweepnet_referring,
    "sweepnet_referring_control": sweepnet_referring_control,
    "sweepnet_referring_wordless": sweepnet_referring_wordless,
}
# what the networks of a family do -> those of them that can be chosen by name
FAMILIES: dict[str, Mapping[str, Callable[..., nn.Module]]] = {
    "segmentation": SEGMENTERS,
    "volumes": VOLUME_SEGMENTERS,
    "classification": CLASSIFIERS,
    "sequence": READERS,
    "generation": GENERATORS,
    "detection": DETECTORS,
    "referring": REFERRERS,
}
MODELS: dict[str, Callable[..., nn.Module]] = {
    name: build for family in FAMILIES.values() for name, build in family.items()
}

CONTROLS = {  # recurrent model -> its no-recurrence control
    "sweepnet_small": "sweepnet_small_control",
    "sweepnet_small_causal": "sweepnet_small_causal_control",
    "sweepnet_nano": "sweepnet_nano_control",
    "sweepnet_nano_causal": "sweepnet_nano_causal_control",
    "sweepnet_base": "sweepnet_base_control",
    "recurrent_unet_small": "recurrent_unet_small_control",
    "reseg": "reseg_control",
    "r2unet": "r2unet_control",
    "sweepnet_small_video": "sweepnet_small_video_control",  # recurrent over time
    "sweepnet_volume_small": "sweepnet_volume_small_control",
    "sweepnet_classifier": "sweepnet_classifier_control",
    "renet_classifier": "renet_classifier_control",
    "sequential_classifier": "sequential_classifier_control",
    "sequential_classifier_gru": "sequential_classifier_gru_control",
    "crnn": "crnn_control",
    "conv_lstm_classifier": "conv_lstm_classifier_control",
    "pixel_lstm_classifier": "pixel_lstm_classifier_control",
    "conv_gru_classifier": "conv_gru_classifier_control",
    "region_gru_classifier": "region_gru_classifier_control",
    "simple_rnn_classifier": "simple_rnn_classifier_control",
    "conv_lstm": "conv_lstm_control",
    "pixel_lstm": "pixel_lstm_control",
    "conv_gru": "conv_gru_control",
    "region_gru": "region_gru_control",
    "simple_rnn": "simple_rnn_control",
    "time_distributed": "time_distributed_control",  # recurrent over time
    "pixel_rnn_row": "pixel_rnn_row_control",
    "pixel_rnn_diagonal": "pixel_rnn_diagonal_control",
    "rsis": "rsis_control",
    "sweepnet_referring": "sweepnet_referring_control",
}
