"""The tiny models and data of the training tests."""

from training.conftest import data, one_thread, settings, tiny  # noqa: F401
