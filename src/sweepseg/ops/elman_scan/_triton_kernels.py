"""Triton kernels of the recurrences with weights; here with h[t] = f(x[t] + W_hh h[t-1] + b_hh), x the input's product.

A program runs some rows (sequences) through all steps with the state and the weights on the chip. Everything that is
one large matrix product over all steps is left to torch: that of the input before, those of the gradients after.
"""

import triton
import triton.language as tl


@triton.jit
def product(left, right):
    """Matrix product in the full precision of float32, or float64; weights may be pointers to them."""
    if right.dtype.is_ptr():
        right = tl.load(right)
    return tl.dot(left, right, input_precision="ieee", out_dtype=left.dtype)


@triton.jit
def tanh(x):
    """Exact to a rounding of 1; triton has none of its own that the interpreter knows."""
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def step_tanh(x, weights, biases, seen, h, c):
    """h[t], c[t] and what `scan_backward` needs, from the input's products, h[t-1] masked, h[t-1] and c[t-1]."""
    return tanh(x[0] + product(seen, weights[0]) + biases[0]), c, ()


@triton.jit
def step_relu(x, weights, biases, seen, h, c):
    """See `step_tanh`."""
    sums = x[0] + product(seen, weights[0]) + biases[0]
    return tl.where(sums < 0, 0.0, sums), c, ()  # NaN stays NaN


@triton.jit
def slopes_tanh(kept, h, before, seen, c_before, grad_h, grad_c, weights):
    """The gradients at step t from those of h[t] and c[t].

    Returns:
        Those of the products with the input, of the products with the state, of the masked h[t-1] through them, of
        h[t-1] past them and of c[t-1].
    """
    of_sums = grad_h * (1 - h * h)
    return (of_sums,), (of_sums,), product(of_sums, weights[0]), tl.zeros_like(grad_h), grad_c


@triton.jit
def slopes_relu(kept, h, before, seen, c_before, grad_h, grad_c, weights):
    """See `slopes_tanh`."""
    of_sums = tl.where(h > 0, grad_h, 0.0)
    return (of_sums,), (of_sums,), product(of_sums, weights[0]), tl.zeros_like(grad_h), grad_c


@triton.jit
def own_rows(total, width, size, rows: tl.constexpr, units: tl.constexpr):
    """The numbers of this program's rows, in 64 bits, by batch index and line, the units, and which of both exist."""
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)[:, None]
    unit = tl.arange(0, units)[None, :]
    return row, row // width, row % width, unit, (row < total) & (unit < size)


@triton.jit
def load_state(pointer, place, exists, like):
    """A state (rows, size), zeros if there is none."""
    if pointer is None:
        return tl.zeros_like(like)
    else:
        return tl.load(pointer + place, exists, other=0)


@triton.jit
def load_weights(pointer, place, gates: tl.constexpr, units: tl.constexpr, resident: tl.constexpr):
    """The weights (units, units) of every gate or, where they have no room on the chip, pointers to them."""
    weights = ()
    for i in tl.static_range(gates):
        gate = pointer + i * units * units + place
        weights += (tl.load(gate) if resident else gate,)
    return weights


@triton.jit
def load_parts(pointer, size, parts: tl.constexpr, exists):
    """The values of several gates that lie side by side."""
    values = ()
    for i in tl.static_range(parts):
        values += (tl.load(pointer + i * size, exists, other=0),)
    return values


@triton.jit
def store_parts(pointer, size, values, exists):
    """Write the values of several gates side by side."""
    for i in tl.static_range(len(values)):
        tl.store(pointer + i * size, values[i], exists)


@triton.jit
def scan(
    cell: tl.constexpr,
    gates: tl.constexpr,
    projected,
    projected_strides,
    weight,
    bias,
    mask,
    h0,
    c0,
    y,
    y_strides,
    h_last,
    c_last,
    saved,
    total,
    width,
    steps,
    size,
    reverse: tl.constexpr,
    rows: tl.constexpr,
    units: tl.constexpr,
    resident: tl.constexpr,
):
    """Write the states of all steps, the last ones and, unless ``saved`` is None, what the backward pass needs.

    ``weight`` (gates, units, units) is padded with zeros, and transposed here but not in `scan_backward`.
    """
    row, batch, line, unit, exists = own_rows(total, width, size, rows, units)
    state = row * size + unit
    inner = tl.arange(0, units)[:, None]
    weights = load_weights(weight, inner * units + unit, gates, units, resident)
    nothing = tl.zeros([rows, units], y.dtype.element_ty)
    biases = (nothing,) * gates if bias is None else load_parts(bias + unit, size, gates, unit < size)
    projected += batch * projected_strides[0] + line * projected_strides[1] + unit
    y += batch * y_strides[0] + line * y_strides[1] + unit
    h, c = load_state(h0, state, exists, nothing), load_state(c0, state, exists, nothing)
    if mask is not None:
        kept_units = tl.load(mask + state, exists, other=0)
    for s in range(0, steps):
        t = tl.cast(steps - 1 - s if reverse else s, tl.int64)
        x = load_parts(projected + t * projected_strides[2], size, gates, exists)
        h, c, kept = cell(x, weights, biases, h if mask is None else h * kept_units, h, c)
        tl.store(y + t * y_strides[2], h, exists)
        if saved is not None:
            store_parts(saved + (t * total + row) * (len(kept) * size) + unit, size, kept, exists)
    tl.store(h_last + state, h, exists)
    if c_last is not None:
        tl.store(c_last + state, c, exists)


@triton.jit
def scan_backward(
    cell: tl.constexpr,
    gates: tl.constexpr,
    keeps: tl.constexpr,
    weight,
    mask,
    h0,
    c0,
    y,
    y_strides,
    saved,
    grad_y,
    grad_y_strides,
    grad_h,
    grad_c,
    of_x,
    of_state,
    of_strides,
    of_h0,
    of_c0,
    of_mask,
    total,
    width,
    steps,
    size,
    reverse: tl.constexpr,
    rows: tl.constexpr,
    units: tl.constexpr,
    resident: tl.constexpr,
):
    """Write the gradients of initial states, mask and, for all steps, the products with input and state.

    ``of_state`` is None where they are the same for both. A cell with c keeps it as the last of its ``keeps`` values.
    """
    row, batch, line, unit, exists = own_rows(total, width, size, rows, units)
    state = row * size + unit
    outer = tl.arange(0, units)[:, None]
    weights = load_weights(weight, outer * units + unit, gates, units, resident)
    nothing = tl.zeros([rows, units], y.dtype.element_ty)
    y += batch * y_strides[0] + line * y_strides[1] + unit
    of_place = batch * of_strides[0] + line * of_strides[1] + unit
    first_h, first_c = load_state(h0, state, exists, nothing), load_state(c0, state, exists, nothing)
    of_h, of_c = load_state(grad_h, state, exists, nothing), load_state(grad_c, state, exists, nothing)
    sum_of_mask, before_c = nothing, nothing
    if mask is not None:
        kept_units = tl.load(mask + state, exists, other=0)
    for s in range(0, steps):
        past = steps - 1 - s  # steps that were run before this one
        t = tl.cast(s if reverse else past, tl.int64)
        t_before = t + 1 if reverse else t - 1
        h = tl.load(y + t * y_strides[2], exists, other=0)
        before = tl.where(past > 0, tl.load(y + t_before * y_strides[2], exists & (past > 0), other=0), first_h)
        kept = load_parts(saved + (t * total + row) * (keeps * size) + unit, size, keeps, exists)
        if of_c0 is not None:
            place = (t_before * total + row) * (keeps * size) + (keeps - 1) * size + unit
            before_c = tl.where(past > 0, tl.load(saved + place, exists & (past > 0), other=0), first_c)
        if grad_y is not None:
            place = batch * grad_y_strides[0] + line * grad_y_strides[1] + unit + t * grad_y_strides[2]
            of_h += tl.load(grad_y + place, exists, other=0)
        seen = before if mask is None else before * kept_units
        of_products, of_state_products, of_seen, of_h, of_c = cell(kept, h, before, seen, before_c, of_h, of_c, weights)
        store_parts(of_x + of_place + t * of_strides[2], size, of_products, exists)
        if of_state is not None:
            store_parts(of_state + of_place + t * of_strides[2], size, of_state_products, exists)
        if mask is None:
            of_h += of_seen
        else:
            of_h += of_seen * kept_units
            sum_of_mask += of_seen * before
    tl.store(of_h0 + state, of_h, exists)
    if of_c0 is not None:
        tl.store(of_c0 + state, of_c, exists)
    if mask is not None:
        tl.store(of_mask + state, sum_of_mask, exists)
