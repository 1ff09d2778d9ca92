"""MDLSTM: the contract from its four corners, and what each pixel sees; its equations are tested with the operation."""

from dataclasses import replace

import pytest
import torch
from cells import map_contract
from cells.map_contract import C, H, Subject

from sweepseg.cells.md_lstm import MDLSTM

FLIPS = {
    "upper left": (),
    "upper right": (3,),
    "lower left": (2,),
    "lower right": (2, 3),
}


def subject(flips):
    options = {"reverse": 2 in flips, "leftwards": 3 in flips}

    def flip(x):
        return x.flip(flips)

    return Subject(MDLSTM, options, {}, flip, flip, axis=2, backwards=options["reverse"])


SUBJECTS = {corner: subject(flips) for corner, flips in FLIPS.items()}


@pytest.mark.parametrize("promise", map_contract.promises(SUBJECTS))
def test_contract(promise):
    promise()


@pytest.mark.parametrize("corner", SUBJECTS)
def test_sees_the_rectangle_to_its_corner(corner):
    x, turn = torch.randn(1, C, 5, 6, requires_grad=True), SUBJECTS[corner].turn
    output, _ = SUBJECTS[corner].cell()(turn(x))
    (gradient,) = torch.autograd.grad(turn(output)[0, :, 3, 2].sum(), x)
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[:4, :3] = True
    assert torch.equal(gradient[0].any(0), expected)


def test_contract_catches():
    class LosesC(MDLSTM):
        def forward(self, x, state=None):
            return super().forward(x, None if state is None else (state[0], 0 * state[1]))

    class IgnoresCorner(MDLSTM):
        def __init__(self, input_size, hidden_size, **corner):
            super().__init__(input_size, hidden_size)

    with pytest.raises(AssertionError):
        map_contract.strips_carry_the_state(replace(SUBJECTS["upper left"], make=LosesC))
    with pytest.raises(AssertionError):
        map_contract.turned_map_turns_the_result(replace(SUBJECTS["upper right"], make=IgnoresCorner))


def test_says_its_corner():
    assert repr(MDLSTM(C, H, reverse=True)) == "MDLSTM(3, 4, reverse=True, leftwards=False)"
