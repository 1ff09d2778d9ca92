import torch
from torch.utils.flop_counter import FlopCounterMode

from sweepseg.benchmark.limits import GEMM_FLOPS, GEMM_SHAPE, TRIAD_BYTES, gemm, triad


def test_triad_is_what_its_name_says():
    torch.manual_seed(3)
    result = triad(7)()
    torch.manual_seed(3)
    b, c = torch.randn(7), torch.randn(7)
    torch.testing.assert_close(result, b + 0.5 * c)
    assert 3 * result.element_size() == TRIAD_BYTES


def test_gemm_does_the_work_that_it_is_counted_with():
    run = gemm()
    with FlopCounterMode(display=False) as counter:
        result = run()
    assert counter.get_total_flops() == GEMM_FLOPS
    assert result.shape == (GEMM_SHAPE[0], GEMM_SHAPE[2]) and result.isfinite().all()


def test_limits_write_to_memory_that_is_there():
    for run in (triad(1000), gemm()):
        assert run().data_ptr() == run().data_ptr()
