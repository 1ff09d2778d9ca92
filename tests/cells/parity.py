"""Comparison of a cell with the one-layer torch.nn module whose weights it takes, forward and reverse."""

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

LENGTHS = (1, 2, 37, 500, 4000)
BARS = {torch.float32: 1e-6, torch.float64: 1e-12}


def greatest_error(theirs: nn.RNNBase, ours: nn.Module, steps: int) -> float:
    """Greatest absolute difference of outputs and final states, between ``theirs``, bidirectional, and ``ours``."""
    x = torch.randn(3, steps, theirs.input_size, dtype=theirs.weight_ih_l0.dtype)
    states = theirs.state_dict()
    suffixes = ("_l0", "_l0_reverse")
    with torch.no_grad():
        expected, expected_final = theirs(x)
        errors = []
        for direction, suffix in enumerate(suffixes):
            ours.load_state_dict({k.removesuffix(suffix): v for k, v in states.items() if k.endswith(suffix)})
            output, final = ours(x, reverse=direction == 1)
            errors.append(output - expected.chunk(2, dim=-1)[direction])
            for state, expected_state in zip(tree_leaves(final), tree_leaves(expected_final), strict=True):
                errors.append(state - expected_state[direction])
    return max(error.abs().max().item() for error in errors)
