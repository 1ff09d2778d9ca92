"""Fixtures of all tests."""

import os

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")  # read by the first import of keras


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A data set of volumes: 5 to train on, 1 to test on, of 16 to 20 voxels a side."""
    pytest.importorskip("nibabel")
    import make_phantoms

    root = tmp_path_factory.mktemp("phantoms")
    make_phantoms.main(root, train=5, test=1, side=16)
    return root
