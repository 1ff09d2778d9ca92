"""Models beside their controls and beside other packages' networks, trained alike; `BUILDERS` names them all."""

from collections.abc import Callable

from torch import nn

from ..models import MODELS
from .peers import PEERS

BUILDERS: dict[str, Callable[..., nn.Module]] = {**MODELS, **PEERS}
