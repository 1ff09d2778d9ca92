"""Which backend runs."""

import pytest
import torch

from sweepseg.ops import linear_scan, use_backend
from sweepseg.ops._dispatch import Backend, choose

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TABLE = {
    "fast": Backend(lambda: "fast", devices=("cuda",)),
    "reference": Backend(lambda: "reference"),
}
PARTIAL = {
    "plain": Backend(lambda: "plain", lacks=("gain_ih", "gain_hh")),
    "broken": Backend(lambda: "broken", problem="it was not built; build it"),
    "reference": Backend(lambda: "reference"),
}


def test_first_that_runs_on_the_device():
    assert choose(TABLE, None, CPU)() == "reference"
    assert choose(TABLE, None, CUDA)() == "fast"


def test_argument_beats_context_beats_device():
    with use_backend("reference"):
        assert choose(TABLE, None, CUDA)() == "reference"
        assert choose(TABLE, "fast", CUDA)() == "fast"
        with use_backend(None):
            assert choose(TABLE, None, CUDA)() == "fast"
        assert choose(TABLE, None, CUDA)() == "reference"
    assert choose(TABLE, None, CUDA)() == "fast"


def test_context_ends_with_an_exception():
    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert choose(TABLE, None, CUDA)() == "fast"


@pytest.mark.parametrize("name", ["fast", "magic"])
def test_nothing_is_tried_in_its_place(name):
    message = {"fast": "does not run on cpu.*one of reference", "magic": "does not exist.*fast, reference"}[name]
    with pytest.raises(ValueError, match=message):
        choose(TABLE, name, CPU)
    with use_backend(name), pytest.raises(ValueError, match=message):
        choose(TABLE, None, CPU)


def test_default_handles_the_arguments():
    assert choose(PARTIAL, None, CPU)() == "plain"
    assert choose(PARTIAL, None, CPU, options=["hidden_mask"])() == "plain"
    assert choose(PARTIAL, None, CPU, options=["hidden_mask", "gain_hh"])() == "reference"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain", ["gain_hh"], "does not handle gain_hh; leave it out or choose one of reference"),
        ("broken", [], "is not available: it was not built; build it, or choose one of plain, reference"),
    ],
)
def test_what_cannot_run_is_refused_with_its_reason(name, options, message):
    with pytest.raises(ValueError, match=message):
        choose(PARTIAL, name, CPU, options)
    with use_backend(name), pytest.raises(ValueError, match=message):
        choose(PARTIAL, None, CPU, options)


def test_operations_obey_the_context():
    sequence = torch.ones(1, 2, 1)
    with use_backend("magic"), pytest.raises(ValueError, match="'magic' does not exist"):
        linear_scan(sequence, sequence)


def test_compiled_code_notices_the_context():
    compiled = torch.compile(lambda x: linear_scan(x, x)[0], fullgraph=True, backend="eager")
    sequence = torch.ones(1, 2, 1)
    compiled(sequence)
    with use_backend("magic"), pytest.raises(Exception, match="does not exist"):
        compiled(sequence)
