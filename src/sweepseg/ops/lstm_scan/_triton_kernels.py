"""The long short-term memory for the kernels of elman_scan, in the letters of torch.nn.LSTM."""

import triton
import triton.language as tl

from ..elman_scan._triton_kernels import product, tanh


@triton.jit
def step(x, weights, biases, seen, h, c):
    """See elman_scan's `step_tanh`."""
    i = tl.sigmoid(x[0] + product(seen, weights[0]) + biases[0])
    f = tl.sigmoid(x[1] + product(seen, weights[1]) + biases[1])
    g = tanh(x[2] + product(seen, weights[2]) + biases[2])
    o = tl.sigmoid(x[3] + product(seen, weights[3]) + biases[3])
    c = f * c + i * g
    return o * tanh(c), c, (i, f, g, o, c)


@triton.jit
def slopes(kept, h, before, seen, c_before, grad_h, grad_c, weights):
    """See elman_scan's `slopes_tanh`."""
    i, f, g, o, c = kept
    tanh_c = tanh(c)
    of_c = grad_c + grad_h * o * (1 - tanh_c * tanh_c)
    of_i, of_f = of_c * g * i * (1 - i), of_c * c_before * f * (1 - f)
    of_g, of_o = of_c * i * (1 - g * g), grad_h * tanh_c * o * (1 - o)
    of_seen = product(of_i, weights[0]) + product(of_f, weights[1])
    of_seen += product(of_g, weights[2]) + product(of_o, weights[3])
    gates = (of_i, of_f, of_g, of_o)
    return gates, gates, of_seen, tl.zeros_like(grad_h), of_c * f
