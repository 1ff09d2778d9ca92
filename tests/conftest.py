"""Fixtures of all tests."""

import os

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")  # read by the first import of keras


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
