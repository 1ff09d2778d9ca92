import pytest
import torch

from sweepseg.training.schedule import learning_rate


def rates(steps, **options):
    return [learning_rate(step, steps, **options) for step in range(steps)]


def rates_of_torch(steps, make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(optimizer)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


@pytest.mark.parametrize("steps", [10, 37, 400])
def test_one_cycle_is_that_of_torch(steps):
    # one step more, because torch's scheduler is stepped once after the last optimizer step
    expected = rates_of_torch(
        steps - 1, lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=steps)
    )
    ours = rates(steps, peak=0.3, schedule="one_cycle", warmup=0.05)
    assert ours[:-1] == pytest.approx(expected, rel=1e-9)
    assert ours[-1] == pytest.approx(0.3 / 25e4)


@pytest.mark.parametrize("steps, warmup", [(10, 0.2), (37, 0.1), (400, 0.05), (20, 0.5)])
def test_cosine_is_linear_then_cosine_annealing_of_torch(steps, warmup):
    rising = round(steps * warmup)

    def make(optimizer):
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rising, total_iters=rising - 1)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - rising)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[rising])

    expected = rates_of_torch(steps, make)
    assert rates(steps, peak=0.3, schedule="cosine", warmup=warmup) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warmup", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_shortest_runs_have_a_rate_for_every_step(schedule, warmup, steps):
    assert all(0 < rate <= 1 for rate in rates(steps, peak=1.0, schedule=schedule, warmup=warmup))
