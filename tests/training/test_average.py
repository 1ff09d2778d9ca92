import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sweepseg.training.average import update_average


def network():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def test_is_the_average_of_torch_once_the_decay_has_grown():
    model, average = network(), network()
    average.load_state_dict(model.state_dict())
    oracle = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    oracle.update_parameters(model)  # the first update copies
    for step in range(100, 105):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        model(torch.randn(2, 2, 5, 5))  # moves the statistics of batch norm
        oracle.update_parameters(model)
        update_average(average, model, decay=0.9, step=step)
    for (name, ours), theirs in zip(average.state_dict().items(), oracle.module.state_dict().values(), strict=True):
        if ours.is_floating_point():  # torch averages the counter of batch norm as well, where the newest is meant
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)
    assert torch.equal(average[1].num_batches_tracked, model[1].num_batches_tracked)


@pytest.mark.parametrize("step, kept", [(0, 0.1), (1, 2 / 11), (8, 0.5), (10_000, 0.999)])
def test_decay_grows_from_a_tenth(step, kept):
    average, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.ones_(average.weight)
    nn.init.zeros_(model.weight)
    update_average(average, model, decay=0.999, step=step)
    assert average.weight.item() == pytest.approx(kept)


def test_without_decay_it_is_the_model():
    average, model = network(), network()
    model(torch.randn(2, 2, 5, 5))
    update_average(average, model, decay=0.0, step=50)
    for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
