import math
import os
import signal
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
import yaml

from sweepseg.errors import InputError, Interrupted, SweepsegError, UsageError
from sweepseg.models.crnn import CRNN
from sweepseg.models.folder import load
from sweepseg.models.referring import ReferringSweepNet
from sweepseg.models.segmenter import ModelConfig, Segmenter
from sweepseg.tasks import TASKS
from sweepseg.training import fit, gradient_watch
from sweepseg.training.checkpoint import load_state, saved_states
from sweepseg.training.fit import train
from sweepseg.training.settings import Settings

from .harness import differences, newest, tiny_video, write_pictures, write_sentences

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def test_run_leaves_a_model_its_settings_and_its_history(settings, tmp_path):
    chosen = settings()
    steps = []
    trained = train(chosen, listen=steps.append)
    assert [(p.step, p.steps) for p in steps] == [(step, 7) for step in range(1, 8)]
    assert all(math.isnan(p.mean_iou) == (p.step < 3) for p in steps)
    assert differences(dict(load(tmp_path / "run").state_dict()), dict(trained.model.state_dict())) == []
    assert not trained.model.training
    state = newest(tmp_path / "run")
    assert differences(dict(state["average"]), dict(trained.model.state_dict())) == []
    assert differences(dict(state["model"]), dict(trained.model.state_dict())) != []
    assert Settings(**yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())).as_dict() == chosen.as_dict()
    assert [row["step"] for row in trained.history] == list(range(1, 8))
    assert [row["step"] for row in trained.history if "val_mean_iou" in row] == [3, 6, 7]
    assert [row["loss"] for row in trained.history] == [p.loss for p in steps]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "model.safetensors",
        "config.json",
        "settings.yaml",
        "metrics.csv",
        "checkpoints",
    }


def test_training_learns(settings):
    trained = train(settings(steps=60, rotate=0.0, blur=0.0, crop=None, colour=0.1, ema=0.9))
    assert trained.history[-1]["loss"] < 0.7 * trained.history[0]["loss"]


def tiny_reader(num_classes, in_channels):
    return CRNN(num_classes, in_channels, width=4, control=False)


@pytest.fixture
def reading(settings, lines):
    """Makes the settings of a run on lines of text."""
    neutral = {"crop": None, "flip_vertical": False, "oversample_foreground": 0.0, "cutmix": 0.0}
    neutral |= {"rotate": 0.0, "blur": 0.0, "noise": 0.02, "colour": 0.0}
    task = {"data": str(lines), "task": "sequence", "model": "crnn", "batch_size": 8, "learning_rate": 0.01}
    return lambda output="run", **changes: settings(output, **neutral | task | changes)


def test_lines_of_text_are_learned_and_measured(reading, tmp_path):
    """No text is that of more than a fifth of the lines."""
    options = reading(steps=60, ema=0.9, validate_every=2, clip=5.0)
    trained = train(options, builders={"crnn": tiny_reader})
    assert trained.history[-1]["val_string_accuracy"] > 0.6 > 2 * trained.history[-1]["val_character_error_rate"]
    assert trained.headline == f"string accuracy {100 * trained.history[-1]['val_string_accuracy']:.1f}"
    header = (tmp_path / "run" / "metrics.csv").read_text().partition("\n")[0]
    assert header == "step,epoch,learning_rate,loss,val_string_accuracy,val_character_error_rate"


def test_a_run_on_lines_can_be_stopped_and_goes_on_with_the_same_bits(reading):
    builders = {"crnn": tiny_reader}
    train(reading("whole", steps=4, early_stop=9), builders=builders)

    def stop(progress):
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(reading("stopped", steps=4, early_stop=9), builders=builders, listen=stop)
    train(reading("stopped", steps=4, early_stop=9, workers=1, resume=True), builders=builders)
    whole, stopped = (newest(Path(reading(name).output)) for name in ("whole", "stopped"))
    assert differences(whole, stopped) == []


@pytest.fixture
def referring(settings, tmp_path):
    """Makes the settings of a run on sentences."""
    data = write_sentences(tmp_path / "sentences", train=48, val=16)
    neutral = {"crop": None, "flip_vertical": False, "oversample_foreground": 0.0, "cutmix": 0.0, "rotate": 0.0}
    task = {"data": str(data), "task": "referring", "model": "sweepnet_referring", "batch_size": 8, "blur": 0.0}
    task |= {"loss": "cross_entropy + dice", "colour": 0.0}
    return lambda output="run", **changes: settings(output, **neutral | task | changes)


def tiny_referring(**options):
    sizes = {"widths": (8, 8, 8), "blocks": (0, 1), "units": 8}
    return {"sweepnet_referring": lambda num_classes, in_channels, num_words: ReferringSweepNet(
        num_classes, in_channels, num_words=num_words, **sizes, **options
    )}  # fmt: skip


def test_what_sentences_mean_is_learned_and_not_from_the_pictures_alone(referring):
    """Both squares for every sentence, the best that can be said without it, have an IoU of 1/2."""
    found = {}
    for wordless in (False, True):
        options = referring(f"wordless {wordless}", steps=90, learning_rate=0.02, ema=0.9, validate_every=20)
        trained = train(options, builders=tiny_referring(wordless=wordless))
        found[wordless] = trained.history[-1]["val_overall_iou"]
        assert trained.headline == f"overall IoU {100 * found[wordless]:.1f}"
    assert found[False] > 0.75 > 0.6 > found[True]
    assert trained.model.config.words == ("left", "right", "square", "the")


@pytest.mark.parametrize(
    "option",
    [
        {"flip_vertical": True},
        {"flip": False},
        {"crop": (8, 8)},
        {"scale": (0.9, 1.0)},
        {"rotate": 5.0},
        {"cutmix": 0.5},
    ],
    ids=str,
)
def test_views_that_a_sentence_may_not_be_true_of_are_refused(referring, option):
    (name,) = option
    with pytest.raises(UsageError, match=f"{name} is .* means nothing for task referring; leave it out"):
        train(referring(**option))


def test_history_of_a_long_run_has_few_rows_with_mean_losses(settings, monkeypatch):
    monkeypatch.setattr(fit, "ROWS", 10)
    losses = []
    trained = train(settings(steps=20, validate_every=1000), listen=lambda p: losses.append(p.loss))
    assert [row["step"] for row in trained.history] == list(range(2, 21, 2))
    assert trained.history[4]["loss"] == pytest.approx((losses[8] + losses[9]) / 2)


def test_accumulated_batches_are_one_large_batch(settings, monkeypatch):
    """In a network without batch norm and dropout, and with a loss that is a mean over pixels."""
    monkeypatch.setitem(fit.prepare.__globals__["MODELS"], "tiny", lambda num_classes, in_channels: plain(in_channels))
    monkeypatch.setattr(fit, "seed_torch", lambda *_: torch.manual_seed(0))

    def plain(in_channels):
        return torch.nn.Conv2d(in_channels, 1, 3, padding=1)

    options = {
        "loss": "cross_entropy",
        "rotate": 0.0,
        "scale": (1.0, 1.0),
        "cutmix": 0.0,
        "ema": 0.0,
        "steps": 3,
        "optimizer": "sgd",
        "clip": 0.0,
        "hold_out": "train0",
    }
    large = train(settings("large", batch_size=4, **options)).model.state_dict()
    small = train(settings("small", batch_size=1, accumulate=4, **options)).model.state_dict()
    for name in large:
        torch.testing.assert_close(large[name], small[name], rtol=1e-4, atol=1e-5)


def test_dropout_is_drawn_anew_for_every_batch(settings, monkeypatch):
    seed, seeds = fit.seed_torch, []

    def watch(*arguments):
        seed(*arguments)
        seeds.append(torch.initial_seed())

    monkeypatch.setattr(fit, "seed_torch", watch)
    train(settings(accumulate=2))
    assert len(set(seeds)) == 1 + 7 * 2  # the first is that of the weights


def test_gradient_is_clipped(settings, monkeypatch):
    norms = []
    step = torch.optim.SGD.step

    def watch(optimizer, *arguments, **options):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watch)
    train(settings("free", optimizer="sgd", clip=0.0, steps=2))
    free = norms.copy()
    norms.clear()
    train(settings("clipped", optimizer="sgd", clip=0.01, steps=2))
    assert min(free) > 0.02
    assert max(norms) <= 0.0101


def test_elements_of_the_gradient_are_clipped(settings, monkeypatch):
    largest = []
    step = torch.optim.SGD.step

    def watch(optimizer, *arguments, **options):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        largest.append(max(gradient.abs().max().item() for gradient in gradients))
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watch)
    train(settings("free", optimizer="sgd", clip=0.0, steps=1))
    train(settings("clipped", optimizer="sgd", clip=0.0, clip_value=0.01, steps=1))
    assert largest[0] > 0.02 and largest[1] == pytest.approx(0.01)


@pytest.mark.parametrize(("scale", "word"), [(1e-12, "died"), (1e8, "blown up")])
def test_gradients_that_die_or_blow_up_are_said(settings, monkeypatch, scale, word):
    monkeypatch.setattr(gradient_watch, "PATIENCE", 3)
    criterion = fit._criterion
    scaled = lambda *arguments: lambda *batch: scale * criterion(*arguments)(*batch)  # noqa: E731
    monkeypatch.setattr(fit, "_criterion", scaled)
    lines = []
    train(settings(), say=lines.append)
    assert [word in line and "since step 1" in line for line in lines] == [True]


@pytest.mark.parametrize("option", ["l1", "l2"])
def test_penalties_make_weights_smaller(settings, option):
    def size(model):
        return sum(p.abs().sum().item() for p in model.parameters() if p.dim() > 1)

    options = {"steps": 20, "weight_decay": 0.0, "ema": 0.0}
    without = train(settings("without", **options)).model
    penalised = train(settings("with", **options, **{option: 0.1})).model
    assert size(penalised) < 0.8 * size(without)


def test_class_weights_and_smoothing_reach_the_loss(settings):
    plain = train(settings("plain", steps=1)).history[0]["loss"]
    assert train(settings("weighted", steps=1, class_weights="median_frequency")).history[0]["loss"] != plain
    assert train(settings("smoothed", steps=1, label_smoothing=0.3)).history[0]["loss"] != plain


@pytest.mark.parametrize(
    "scores, steps, kept",
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9], 12, 6),
        ([0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.9], 18, 12),
        ([math.nan, 0.2, math.nan, math.nan], 12, 6),
    ],
)
def test_early_stopping_keeps_the_best(settings, tmp_path, monkeypatch, scores, steps, kept):
    """An epoch is 3 steps; two validations without a better score end the run."""
    states = {}
    queue = iter(scores)

    def scripted(average, *_, **__):
        states[len(states) * 3 + 3] = {name: value.clone() for name, value in average.state_dict().items()}
        return dict.fromkeys(("mean_iou", "global_accuracy", "mean_class_accuracy"), torch.tensor(next(queue)))

    monkeypatch.setattr(fit, "evaluate", scripted)
    lines = []
    trained = train(settings(steps=100, early_stop=2), say=lines.append)
    assert trained.steps == steps
    assert differences(dict(trained.model.state_dict()), states[kept]) == []
    assert differences(dict(load(tmp_path / "run").state_dict()), states[kept]) == []
    assert any(f"kept the weights of step {kept}," in line for line in lines)


def test_without_validation_pictures(settings, tmp_path):
    trained = train(settings(data=str(write_pictures(tmp_path / "set", train=3, val=0))))
    assert trained.steps == 7
    assert not any("val_mean_iou" in row for row in trained.history)


@pytest.mark.parametrize("count", [1, 3])
def test_batch_larger_than_the_data_set(settings, tmp_path, count):
    data = write_pictures(tmp_path / "set", train=count, val=1)
    assert train(settings(data=str(data), batch_size=8, steps=None, epochs=4)).steps == math.ceil(4 * count / 8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_is_printed(settings, capfd, caplog, precision):
    train(settings(precision=precision))
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_bfloat16_is_used_and_weights_stay_float32(settings):
    full, half = (train(settings(p, precision=p)) for p in ("float32", "bfloat16"))
    assert full.history[0]["loss"] != half.history[0]["loss"]
    assert half.history[0]["loss"] == pytest.approx(full.history[0]["loss"], rel=0.05)
    assert {value.dtype for value in half.model.state_dict().values()} == {torch.float32, torch.int64}


def test_missing_gpu_is_said(settings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device is cuda but torch finds no GPU here"):
        train(settings(device="cuda"))


def all_finite(output: Path) -> bool:
    states = [load_state(path) for path in saved_states(output / "checkpoints")]
    return all(v.isfinite().all() for state in states for part in ("model", "average") for v in state[part].values())


def plant(monkeypatch, at, poison):
    """Add something to the loss of one step."""
    calls = []

    def poisoned(model, **_):
        calls.append(1)
        return poison(next(model.parameters())) if len(calls) == at else 0.0

    monkeypatch.setattr(fit, "penalty", poisoned)


@pytest.mark.parametrize(
    "poison, words",
    [
        (lambda weight: weight.sum() * math.nan, "loss nan"),
        (lambda weight: weight.sum() * 0 + math.inf, "loss inf"),
        (lambda weight: (weight.sum() * 0).sqrt(), r"loss 0\.\d+ and gradient norm nan"),
    ],
)
def test_first_non_finite_number_stops_the_run(settings, tmp_path, monkeypatch, poison, words):
    plant(monkeypatch, 6, poison)
    with pytest.raises(
        SweepsegError, match=rf"{words}.* in step 6 on train\d, train\d; .*step-00000005\.ckpt"
    ) as stopped:
        train(settings(save_every=1))
    assert stopped.value.exit_code == 1
    assert [load_state(path)["step"] for path in saved_states(tmp_path / "run" / "checkpoints")] == [4, 5]
    assert all_finite(tmp_path / "run")
    monkeypatch.undo()


@pytest.mark.parametrize("options", [{"save_every": 1}, {"save_every": 1000, "validate_every": 1}])
def test_weights_that_overflow_are_never_saved(settings, tmp_path, monkeypatch, options):
    step = torch.optim.SGD.step
    calls = []

    def overflow(optimizer, *arguments, **values):
        step(optimizer, *arguments, **values)
        calls.append(1)
        if len(calls) == 3:
            optimizer.param_groups[0]["params"][0].data[0] = math.inf

    monkeypatch.setattr(torch.optim.SGD, "step", overflow)
    with pytest.raises(SweepsegError, match=r"network\.local\.0\.weight became NaN or infinite by step 3"):
        train(settings(optimizer="sgd", **options))
    assert all_finite(tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_picture_that_vanishes_during_the_run_is_named(settings, tmp_path, workers):
    data = write_pictures(tmp_path / "set", train=6, val=1)
    image = data / "images" / "train" / "train2.png"
    with pytest.raises(InputError, match=r"train2\.png: no such file"):
        train(settings(data=str(data), steps=30, workers=workers), listen=lambda _: image.unlink(missing_ok=True))


def test_killed_worker_ends_the_run_and_keeps_the_checkpoint(settings, tmp_path, no_collection):
    def kill(progress):
        if progress.step == 4:
            for worker in active_children():
                os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(
        SweepsegError, match=r"a worker stopped while one of these pictures was read: train\d, "
    ) as lost:
        train(settings(steps=300, workers=1, save_every=2, validate_every=1000), listen=kill)
    assert lost.value.exit_code == 1
    steps = [load_state(path)["step"] for path in saved_states(tmp_path / "run" / "checkpoints")]
    assert steps[-1] % 2 == 0 and steps[-1] >= 2
    assert all_finite(tmp_path / "run")


def test_a_teacher_is_learned_as_well(settings, tmp_path):
    train(settings("taught", steps=30))
    teacher = load(tmp_path / "taught")

    def loss(output, **changes):
        return train(settings(output, steps=1, **changes)).history[0]["loss"]

    taught = {"teacher": str(tmp_path / "taught")}
    alone, both, only = (loss(f"share{share}", teacher_weight=share, **taught) for share in (0.0, 0.25, 1.0))
    assert alone == loss("alone")
    assert both == pytest.approx(0.75 * alone + 0.25 * only, rel=1e-5)
    assert only != pytest.approx(alone, rel=0.01)
    assert differences(dict(load(tmp_path / "taught").state_dict()), dict(teacher.state_dict())) == []


def test_a_run_with_a_teacher_continues_where_it_stopped(settings, tmp_path):
    train(settings("taught", steps=3))
    taught = {"teacher": str(tmp_path / "taught")}
    train(settings("whole", **taught))
    with pytest.raises(Interrupted):
        train(settings("cut", **taught), listen=lambda p: p.step == 3 and os.kill(os.getpid(), signal.SIGTERM))
    train(settings("cut", resume=True, **taught))
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "cut")) == []


UNLABELLED = {"labels": 0.5, "confidence": 0.0}


def test_what_the_average_says_of_pictures_without_labels_is_learned_as_well(settings):
    def losses(output, **changes):
        return [row["loss"] for row in train(settings(output, steps=2, **UNLABELLED | changes)).history]

    alone, single, double = (losses(f"weight{weight}", consistency=weight) for weight in (0.0, 100.0, 200.0))
    assert double[0] - alone[0] == pytest.approx(2 * (single[0] - alone[0]), rel=1e-3)
    assert single[0] - alone[0] > 0.01
    assert single[1] - alone[1] != pytest.approx(double[1] - alone[1], rel=0.1)  # the weights have moved
    assert losses("unsure", consistency=100.0, confidence=1.0)[0] == alone[0]


def test_the_teacher_is_the_average(settings, tmp_path, monkeypatch):
    """Of the steps before, in evaluation mode."""
    disagreement, calls = fit.disagreement, []

    def watch(student, taught, views, *others, **options):
        calls.append((views, taught))
        return disagreement(student, taught, views, *others, **options)

    monkeypatch.setattr(fit, "disagreement", watch)
    trained = train(settings(steps=3, save_every=1, consistency=1.0, **UNLABELLED))
    second, _ = saved_states(tmp_path / "run" / "checkpoints")
    model = trained.model.eval()
    model.load_state_dict(load_state(second)["average"])
    views, taught = calls[2]
    with torch.no_grad():
        torch.testing.assert_close(taught, model(views))
    assert len(calls) == 3 and not torch.equal(calls[0][0], calls[1][0])


def clip_losses(chunk_length, network=None):
    """The losses of two clips whose last frames but one are not annotated, and the gradient of their first frames."""
    torch.manual_seed(0)
    network = network or tiny_video(2, 3, dropout=0.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    clips = torch.randn(2, 5, 3, 6, 7, requires_grad=True)
    target = torch.randint(0, 2, (2, 5, 6, 7))
    target[0, 3] = target[:, 0] = 255
    config = ModelConfig(
        builder="", task="multiclass", classes=("a", "b"), palette=((0, 0, 0),) * 2, mean=(0,) * 3, std=(1,) * 3
    )
    criterion = TASKS["multiclass"](2).loss({"cross_entropy": 1.0})
    losses = []
    of_logits = lambda image, logits, labels: criterion(logits, labels)  # noqa: E731
    for value in fit._losses(Segmenter(network, config), of_logits, clips, target, chunk_length, 255):
        value.backward()
        losses.append(value.item())
    return losses, clips, target, network


@pytest.mark.parametrize("chunk_length", [None, 5, 2, 1])
def test_losses_of_chunks_add_up_to_that_of_the_clip(chunk_length):
    """Cross-entropy over the annotated pixels of all frames, as torch says."""
    losses, clips, target, network = clip_losses(chunk_length)
    logits = network.run(clips)[0].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, target.flatten(0, 1), ignore_index=255)
    assert sum(losses) == pytest.approx(expected.item(), abs=1e-6)
    assert len(losses) == -(-5 // (chunk_length or 5))


def test_gradients_go_back_to_the_start_of_their_chunk_and_no_further():
    """The first frames are not annotated: only later ones can reach them, through the state."""
    whole, chunked, single = (clip_losses(length)[1].grad[:, 0] for length in (None, 2, 1))
    assert whole.any() and chunked.any() and not single.any()
    assert not torch.equal(whole, chunked)


@pytest.mark.parametrize("faulty", ["Forgets", "Detaches"])
def test_faults_of_chunks_are_caught(faulty, monkeypatch):
    if faulty == "Forgets":
        monkeypatch.setattr(fit, "detached", lambda state: None)
        with pytest.raises(AssertionError):
            test_losses_of_chunks_add_up_to_that_of_the_clip(2)
    else:
        monkeypatch.setattr(fit, "detached", lambda state: state)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            clip_losses(2)


@pytest.fixture
def video_settings(settings, videos):
    options = {
        "data": str(videos),
        "model": "tiny_video",
        "clip_length": 4,
        "chunk_length": 2,
        "oversample_foreground": 0.0,
    }
    return lambda output="run", **changes: settings(output, **options | changes)


def test_a_run_on_clips_can_be_stopped_and_continued(video_settings, tmp_path):
    """With the same bits, and whatever the workers."""
    train(video_settings("whole", steps=5))
    with pytest.raises(Interrupted):
        train(video_settings("parts", steps=5), listen=lambda p: p.step == 2 and os.kill(os.getpid(), signal.SIGTERM))
    train(video_settings("parts", steps=5, resume=True, workers=2))
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "parts")) == []


def test_training_on_clips_learns(video_settings):
    trained = train(video_settings(steps=40, rotate=0.0, blur=0.0, crop=None, colour=0.1, ema=0.9))
    assert trained.history[-1]["loss"] < 0.7 * trained.history[0]["loss"]


@pytest.mark.parametrize("model", ["tiny", "tiny_video"])
def test_any_model_trains_on_clips_and_a_video_model_on_pictures(video_settings, model):
    train(video_settings("clips", model=model, steps=1))
    train(video_settings("pictures", model=model, steps=1, clip_length=1))
