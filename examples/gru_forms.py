"""Three forms of the GRU read handwritten digits pixel by pixel and say which digit it was.

python examples/gru_forms.py --steps 400
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweepseg.cells import GRU
from sweepseg.data.digit_scenes import FULL_INK, glyphs

HIDDEN, BATCH = 64, 32


class Slip(nn.Module):
    """h[t] = (1 - r[t]) h[t-1] + tanh(r[t] (W x[t]) + U h[t-1] + b): no update gate, and r both forgets and admits."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.from_x, self.from_h = nn.Linear(input_size, 2 * hidden_size), nn.Linear(hidden_size, 2 * hidden_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) -> the states (B, T, H) and the last one."""
        h, states = x.new_zeros(len(x), self.hidden_size), []
        for x_r, x_n in (products.chunk(2, dim=-1) for products in self.from_x(x).unbind(1)):
            h_r, h_n = self.from_h(h).chunk(2, dim=-1)
            r = torch.sigmoid(x_r + h_r)
            h = (1 - r) * h + torch.tanh(r * x_n + h_n)
            states.append(h)
        return torch.stack(states, dim=1), h


FORMS = {
    "reset after the product": lambda: GRU(1, HIDDEN),
    "reset before the product": lambda: GRU(1, HIDDEN, reset_after=False),
    "the slip": lambda: Slip(1, HIDDEN),
}


def read(split: str, wait: int) -> tuple[Tensor, Tensor]:
    """The digits of a split as sequences (N, 64 + wait, 1) that end in blank steps, and what they are (N,)."""
    rows = glyphs(split)
    pixels = torch.from_numpy(np.concatenate(rows)).float().flatten(1) / FULL_INK
    labels = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(row) for row in rows]))
    return F.pad(pixels, (0, wait)).unsqueeze(2), labels


def main() -> None:
    """Train each form alike and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps of each form")
    parser.add_argument("--wait", type=int, default=0, help="blank steps after the last pixel")
    options = parser.parse_args()
    x, labels = read("train", options.wait)
    test, truth = read("test", options.wait)
    print(f"{'form':26}{'accuracy':>9}{'largest state':>15}{'largest gradient norm':>23}")
    for name, form in FORMS.items():
        torch.manual_seed(0)
        model = nn.ModuleDict({"cell": form(), "head": nn.Linear(HIDDEN, 10)})
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        norms = []
        for _ in range(options.steps):
            batch = torch.randint(len(x), (BATCH,))
            F.cross_entropy(model["head"](model["cell"](x[batch])[1]), labels[batch]).backward()
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            states, last = model["cell"](test)
            right = (model["head"](last).argmax(1) == truth).double().mean().item()
        print(f"{name:26}{100 * right:8.1f}%{states.abs().max().item():15.1f}{max(norms):23.1f}", flush=True)


if __name__ == "__main__":
    main()
