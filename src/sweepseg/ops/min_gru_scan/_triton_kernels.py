"""The MinGRU cell for the kernels of linear_scan: h[t] = (1 - z) * h[t-1] + z * candidate, z = sigmoid(update gate)."""

import triton
import triton.language as tl


@triton.jit
def step(inputs, h):
    """h[t] from the inputs at t and h[t-1]."""
    return tl.sigmoid(-inputs[0]) * h + tl.sigmoid(inputs[0]) * inputs[1]


@triton.jit
def slopes(inputs, before, gradient):
    """The gradients of the inputs at t and of h[t-1] = before, from that of h[t]."""
    z, kept = tl.sigmoid(inputs[0]), tl.sigmoid(-inputs[0])
    of_candidate = gradient * z
    return (of_candidate * kept * (inputs[1] - before), of_candidate), gradient * kept
