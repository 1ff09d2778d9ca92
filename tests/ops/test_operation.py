"""What all compiled operations promise beyond opcheck."""

from dataclasses import replace

import pytest
import torch
from ops import contract
from ops.test_elman_scan import TANH
from ops.test_gru_scan import AFTER, BEFORE
from ops.test_line_scan import CASE as LINE
from ops.test_linear_scan import CASE as LINEAR
from ops.test_lstm_scan import PLAIN as LSTM
from ops.test_md_lstm_scan import LEFT as MD_LSTM
from ops.test_min_gru_scan import CASE as MIN_GRU
from ops.test_min_lstm_scan import CASE as MIN_LSTM
from ops.test_selective_scan import SKIP as SELECTIVE
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._pytree import tree_leaves, tree_map

from sweepseg.ops import _native

CASES = [LINEAR, MIN_GRU, MIN_LSTM, AFTER, BEFORE, LSTM, MD_LSTM, TANH, SELECTIVE, LINE]
LAYOUTS = {
    "channels outermost": lambda x: x.movedim(-1, 0).contiguous().movedim(0, -1),
    "channels broadcast": lambda x: x[..., :1].expand_as(x),
    "overlapping": lambda x: x.contiguous().as_strided(x.shape, (1,) * x.ndim),
}

pytestmark = pytest.mark.skipif(_native.library is None, reason="the compiled kernels were not built")
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def calls(case):
    """A call of each operation, among them those without gradients, with two batch dimensions."""
    subject = contract.Subject(case, "cpu", "cpu")
    with contract._Recorder() as recorder, torch.no_grad():
        subject.run(**subject.inputs((2, 3), 5))
    on_maps = replace(case, make=lambda _, steps: case.make((2, 3), steps))
    return recorder.calls | contract.library_calls(replace(subject, case=on_maps))


@each_case
def test_tensors_of_any_strides(case):
    """In a compiled graph the strides that come need not be those that were seen when it was traced."""
    for name, (op, arguments, _) in calls(case).items():
        for layout, relay in LAYOUTS.items():
            relaid = tree_map(lambda x, relay=relay: relay(x.detach()) if isinstance(x, Tensor) else x, arguments)
            dense = tree_map(lambda x: x.contiguous() if isinstance(x, Tensor) else x, relaid)
            expected = tree_leaves(op(*dense))
            torch.compiler.reset()
            for run in (op, torch.compile(op, fullgraph=True, backend="aot_eager", dynamic=False)):
                for actual, exact in zip(tree_leaves(run(*relaid)), expected, strict=True):
                    torch.testing.assert_close(actual, exact, equal_nan=True, msg=f"{name}, {layout}")


@each_case
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's own make_dual
def test_forward_derivatives_are_refused(case):
    subject = contract.Subject(case, "cpu", "cpu")
    inputs = subject.inputs((2,), 3)
    subject.run(**inputs)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="no forward-mode derivatives"):
        subject.run(**tree_map(lambda x: forward_ad.make_dual(x, torch.ones_like(x)), inputs))


@each_case
def test_second_derivatives_are_refused(case):
    subject = contract.Subject(case, "cpu", "cpu")
    inputs = tree_map(Tensor.requires_grad_, subject.inputs((2,), 3))
    output, _ = subject.run(**inputs)
    gradients = torch.autograd.grad(output.square().sum(), tree_leaves(inputs), create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradients[0].sum().backward()
