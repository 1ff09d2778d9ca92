"""Fixtures of the tests of the operations."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fill fresh memory with NaN, so that no kernel can read what it has not written and stay unnoticed."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(1).isnan().item()
    yield
    torch.use_deterministic_algorithms(False)
