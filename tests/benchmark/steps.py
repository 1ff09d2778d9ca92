"""Steps that a process of its own can be sent."""

import torch


def step(kept: int, taken: tuple[int, ...]):
    """A step that reads so many bytes that were there before and allocates so many, one after the other."""
    inputs = torch.ones(kept // 4)
    return lambda: [(inputs.sum() + torch.ones(size // 4).sum()).item() for size in taken]


def hoarding_step(size: int):
    """A step that keeps what it allocates, as a first step fills caches."""
    hoard = []
    return lambda: hoard or hoard.append(torch.ones(size // 4))


def threads():
    """A step that allocates a megabyte for each thread."""
    return step(4, (torch.get_num_threads() << 20,))
