"""The gated recurrent unit for the kernels of elman_scan, in the letters of torch.nn.GRU."""

import triton
import triton.language as tl

from ..elman_scan._triton_kernels import product, tanh


@triton.jit
def step_reset_after(x, weights, biases, seen, h, c):
    """See elman_scan's `step_tanh`."""
    r = tl.sigmoid(x[0] + product(seen, weights[0]) + biases[0])
    z = tl.sigmoid(x[1] + product(seen, weights[1]) + biases[1])
    h_n = product(seen, weights[2]) + biases[2]
    n = tanh(x[2] + r * h_n)
    return n + z * (h - n), c, (r, z, n, h_n)


@triton.jit
def step_reset_before(x, weights, biases, seen, h, c):
    """See elman_scan's `step_tanh`."""
    r = tl.sigmoid(x[0] + product(seen, weights[0]) + biases[0])
    z = tl.sigmoid(x[1] + product(seen, weights[1]) + biases[1])
    n = tanh(x[2] + product(r * seen, weights[2]) + biases[2])
    return n + z * (h - n), c, (r, z, n)


@triton.jit
def slopes_reset_after(kept, h, before, seen, c_before, grad_h, grad_c, weights):
    """See elman_scan's `slopes_tanh`."""
    r, z, n, h_n = kept
    of_n = grad_h * (1 - z) * (1 - n * n)
    of_z = grad_h * (before - n) * z * (1 - z)
    of_r = of_n * h_n * r * (1 - r)
    of_h_n = of_n * r
    of_seen = product(of_r, weights[0]) + product(of_z, weights[1]) + product(of_h_n, weights[2])
    return (of_r, of_z, of_n), (of_r, of_z, of_h_n), of_seen, grad_h * z, grad_c


@triton.jit
def slopes_reset_before(kept, h, before, seen, c_before, grad_h, grad_c, weights):
    """See elman_scan's `slopes_tanh`."""
    r, z, n = kept
    of_n = grad_h * (1 - z) * (1 - n * n)
    of_z = grad_h * (before - n) * z * (1 - z)
    of_reset = product(of_n, weights[2])
    of_r = of_reset * seen * r * (1 - r)
    of_seen = of_reset * r + product(of_r, weights[0]) + product(of_z, weights[1])
    return (of_r, of_z, of_n), (of_r, of_z, of_n), of_seen, grad_h * z, grad_c
