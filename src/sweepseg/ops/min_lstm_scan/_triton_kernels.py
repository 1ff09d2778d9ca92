"""The MinLSTM cell for the kernels of linear_scan: h[t] = f / (f + i) * h[t-1] + i / (f + i) * candidate."""

import triton
import triton.language as tl


@triton.jit
def shares(i, f):
    """Return i / (f + i) and f / (f + i) of the gates' sigmoids.

    They are 1 + e^-f and 1 + e^-i over their sum, each term times e^least so that none overflows.
    """
    least = tl.minimum(tl.minimum(i, f), 0)
    closed_i, closed_f = tl.exp(least) + tl.exp(least - i), tl.exp(least) + tl.exp(least - f)
    return closed_f / (closed_i + closed_f), closed_i / (closed_i + closed_f)


@triton.jit
def step(inputs, h):
    """h[t] from the inputs at t and h[t-1]."""
    input_share, forget_share = shares(inputs[0], inputs[1])
    return forget_share * h + input_share * inputs[2]


@triton.jit
def slopes(inputs, before, gradient):
    """The gradients of the inputs at t and of h[t-1] = before, from that of h[t]."""
    input_share, forget_share = shares(inputs[0], inputs[1])
    of_candidate = gradient * input_share
    of_ratio = of_candidate * forget_share * (inputs[2] - before)  # ratio: log(i / f)
    of_i, of_f = of_ratio * tl.sigmoid(-inputs[0]), -of_ratio * tl.sigmoid(-inputs[1])
    return (of_i, of_f, of_candidate), gradient * forget_share
