"""Triton kernels of the recurrences that run every channel on its own; here with h[t] = decay[t] * h[t-1] + update[t].

Maps have so many chains (batch * lines * channels) that time may stay serial: each thread runs one chain through all
steps with its state in a register, and reads the sequences where they lie, whatever their strides. The loads of
``ahead`` steps are issued together, because those of one step do not keep the memory busy.
"""

import triton
import triton.language as tl


@triton.jit
def step(inputs, h):
    """h[t] from the inputs at t and h[t-1]."""
    return inputs[0] * h + inputs[1]


@triton.jit
def slopes(inputs, before, gradient):
    """The gradients of the inputs at t and of h[t-1] = before, from that of h[t]."""
    return (gradient * before, gradient), gradient * inputs[0]


@triton.jit
def own_chains(total, block: tl.constexpr):
    """The numbers of this program's chains, in 64 bits, and which of them exist."""
    chain = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    return chain, chain < total


@triton.jit
def starts(sequences, strides, chain, width, channels):
    """Where the chains stand in sequences (batch, width, T, channels) at step 0."""
    line, channel = chain // channels, chain % channels
    pointers = ()
    for i in tl.static_range(len(sequences)):
        offset = line // width * strides[i][0] + line % width * strides[i][1] + channel
        pointers += (sequences[i] + offset,)
    return pointers


@triton.jit
def load(pointers, strides, t, mask):
    """The values of several sequences at step t."""
    values = ()
    for i in tl.static_range(len(pointers)):
        values += (tl.load(pointers[i] + t * strides[i][2], mask, other=0),)
    return values


@triton.jit
def state(pointer, chain, exists, block: tl.constexpr, dtype: tl.constexpr):
    """A state (batch, width, channels), zeros if there is none."""
    if pointer is None:
        return tl.zeros([block], dtype)
    else:
        return tl.load(pointer + chain, exists, other=0)


@triton.jit
def scan(
    cell: tl.constexpr,
    inputs,
    input_strides,
    output,
    output_strides,
    initial,
    final,
    total,
    width,
    channels,
    steps,
    reverse: tl.constexpr,
    ahead: tl.constexpr,
    block: tl.constexpr,
):
    """Write the states of all steps, and the last one, of a cell such as `step`."""
    chain, exists = own_chains(total, block)
    inputs = starts(inputs, input_strides, chain, width, channels)
    (output,) = starts((output,), (output_strides,), chain, width, channels)
    h = state(initial, chain, exists, block, output.dtype.element_ty)
    for first in range(0, steps, ahead):
        loaded = ()
        for i in tl.static_range(ahead):
            t = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64)
            loaded += (load(inputs, input_strides, t, exists & (first + i < steps)),)
        for i in tl.static_range(ahead):
            t = tl.cast(steps - 1 - first - i if reverse else first + i, tl.int64)
            h = tl.where(first + i < steps, cell(loaded[i], h), h)
            tl.store(output + t * output_strides[2], h, exists & (first + i < steps))
    tl.store(final + chain, h, exists)


@triton.jit
def scan_backward(
    cell: tl.constexpr,
    inputs,
    input_strides,
    output,
    output_strides,
    grad_output,
    grad_output_strides,
    initial,
    grad_final,
    gradients,
    gradient_strides,
    grad_initial,
    total,
    width,
    channels,
    steps,
    reverse: tl.constexpr,
    ahead: tl.constexpr,
    block: tl.constexpr,
):
    """Write the gradients of the inputs and of the initial state, from the last step that was run to the first.

    ``cell`` is a function such as `slopes`.
    """
    chain, exists = own_chains(total, block)
    inputs = starts(inputs, input_strides, chain, width, channels)
    gradients = starts(gradients, gradient_strides, chain, width, channels)
    of_states = (output, grad_output)
    of_states_strides = (output_strides, grad_output_strides)
    of_states = starts(of_states, of_states_strides, chain, width, channels)
    dtype: tl.constexpr = output.dtype.element_ty
    h = state(initial, chain, exists, block, dtype)
    gradient = state(grad_final, chain, exists, block, dtype)
    for first in range(0, steps, ahead):
        loaded = ()
        for i in tl.static_range(ahead):
            past = steps - 1 - first - i  # steps that were run before this one; below 0 behind the last that is left
            t = tl.cast(first + i if reverse else past, tl.int64)
            before = t + 1 if reverse else t - 1
            loaded += (
                (
                    load(inputs, input_strides, t, exists & (past >= 0)),
                    tl.load(of_states[0] + before * output_strides[2], exists & (past > 0), other=0),
                    tl.load(of_states[1] + t * grad_output_strides[2], exists & (past >= 0), other=0),
                ),
            )
        for i in tl.static_range(ahead):
            past = steps - 1 - first - i
            t = tl.cast(first + i if reverse else past, tl.int64)
            before = tl.where(past == 0, h, loaded[i][1])
            values, of_before = cell(loaded[i][0], before, gradient + loaded[i][2])
            gradient = tl.where(past >= 0, of_before, gradient)
            for j in tl.static_range(len(gradients)):
                tl.store(gradients[j] + t * gradient_strides[j][2], values[j], exists & (past >= 0))
    tl.store(grad_initial + chain, gradient, exists)
