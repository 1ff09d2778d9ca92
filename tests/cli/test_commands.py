import json
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from inference.models import model, told_model
from PIL import Image

from sweepseg.cli import progress, run
from sweepseg.inference import averaging
from sweepseg.inference.averaging import Averaged
from sweepseg.io.files import only_run
from sweepseg.models import MODELS
from sweepseg.models.folder import save_model
from sweepseg.models.segmenter import Segmenter
from sweepseg.tasks import evaluation


def save(path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def dataset(tmp_path):
    """A data set of two pictures whose masks hold the first two of the three classes of `saved`."""
    for split in ("train", "test"):
        save(tmp_path / "data" / "images" / split / "a.png", np.full((20, 30, 3), 90))
        save(tmp_path / "data" / "masks" / split / "a.png", np.arange(30) // 15 + np.zeros((20, 1)))
    (tmp_path / "data" / "classes.txt").write_text("class0\nclass1\nclass2\n")
    return str(tmp_path / "data")


@pytest.fixture
def saved(tmp_path):
    save_model(tmp_path / "model", model("multiclass", 3))
    return str(tmp_path / "model")


def test_check_lists_every_problem_and_ends_with_2(dataset, tmp_path, capsys):
    save(tmp_path / "data" / "masks" / "train" / "a.png", np.full((20, 31), 1))
    save(tmp_path / "data" / "masks" / "test" / "a.png", np.full((20, 30), 7))
    assert run(["check", dataset]) == 2
    assert "train: 1 images" in capsys.readouterr().out
    assert run(["check", dataset, "--quiet"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2 and all(line.startswith(("error: ", "warning: ")) for line in lines)
    assert run(["check", dataset, "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)
    assert len(problems) == len(lines) and {"path", "reason", "severity"} == problems[0].keys()


def test_check_of_a_sound_data_set_ends_with_0(dataset):
    assert run(["check", dataset, "--quiet"]) == 0


def test_val_measures_as_numpy_does(dataset, saved, tmp_path, capsys):
    assert (
        run(["predict", f"{dataset}/images/test", "--model", saved, "--output", str(tmp_path / "out"), "--quiet"]) == 0
    )
    mask, truth = (np.asarray(Image.open(tmp_path / name)) for name in ("out/a.png", "data/masks/test/a.png"))
    capsys.readouterr()
    assert run(["val", dataset, "--model", saved, "--split", "test", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["global_accuracy"] == pytest.approx((mask == truth).mean())
    assert run(["val", dataset, "--model", saved, "--split", "test", "--video", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"video_consistency": None}  # one frame, three classes
    for c, iou in enumerate(scores["iou"]):
        either = ((mask == c) | (truth == c)).sum()
        assert iou == (pytest.approx(((mask == c) & (truth == c)).sum() / either) if either else None)
    assert scores["class_accuracy"][2] is None  # JSON has no NaN


def test_val_averages_over_the_views_asked_for(dataset, saved, monkeypatch):
    asked = []

    class Recorded(Averaged):
        def __init__(self, model, **views):
            asked.append(views)
            super().__init__(model, **views)

    measured = []

    def evaluate(model, *arguments, **options):
        measured.append(type(model))
        return evaluation_of(model, *arguments, **options)

    evaluation_of = evaluation.evaluate
    monkeypatch.setattr(averaging, "Averaged", Recorded)
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    for options in ([], ["--flip", "--scales", "0.5", "1"], ["--flip"], ["--scales", "0.5"]):
        assert run(["val", dataset, "--model", saved, "--split", "test", "--no-boundary", "--json", *options]) == 0
    views = [(True, [0.5, 1.0]), (True, [1.0]), (False, [0.5])]
    assert asked == [{"flip": flip, "scales": scales} for flip, scales in views]
    assert measured == [Segmenter, Recorded, Recorded, Recorded]  # one that remembers is to be seen as such


def test_val_prints_a_table(dataset, saved, capsys):
    assert run(["val", dataset, "--model", saved, "--split", "test", "--no-boundary"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("class0", "class1", "class2", "mean", "global accuracy"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split", "val"], "has no annotated pictures in val; it has train, test"),
        (["--split", "nonsense"], "no annotated pictures in nonsense"),
        (["--hold-out", "zzz"], "start with 'zzz'"),
        (["--scales", "1", "0", "--split", "test"], "scales are (1.0, 0.0); give one or more, each more than 0"),
    ],
)
def test_val_refuses_what_cannot_be_measured(dataset, saved, capsys, options, words):
    assert run(["val", dataset, "--model", saved, *options]) == 2
    assert words in capsys.readouterr().err


def test_val_refuses_a_data_set_of_other_classes(dataset, tmp_path, capsys):
    save_model(tmp_path / "other", model("multiclass", 2))
    assert run(["val", dataset, "--model", str(tmp_path / "other"), "--split", "test"]) == 2
    assert "the model knows class0, class1, the data set has class0, class1, class2" in capsys.readouterr().err


def test_predict_with_the_bundled_model_writes_what_is_asked_for(dataset, tmp_path, capsys):
    words = ["predict", f"{dataset}/images", "--output", str(tmp_path / "out"), "--overlay", "--probs", "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out) == {
        "done": 2,
        "skipped": 0,
        "failed": 0,
        "output": str(tmp_path / "out"),
    }
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"report.jsonl"} | {
        f"{split}/a{suffix}" for split in ("train", "test") for suffix in (".png", ".overlay.png", ".probs.npz")
    }
    assert run([*words[:-1], "--skip-existing"]) == 0
    assert capsys.readouterr().out.startswith("0 segmented, 2 were there already, 0 failed; ")


def test_predict_in_tiles_draws_a_bar_within_an_image(tmp_path, monkeypatch):
    drawn: list[tuple[str, int, int]] = []
    monkeypatch.setattr(progress, "bar", lambda quiet: nullcontext(lambda *update: drawn.append(update)))
    save(tmp_path / "large.png", np.zeros((100, 100)))
    words = ["predict", str(tmp_path / "large.png"), "--output", str(tmp_path / "out"), "--resume"]
    assert run([*words, "--tile", "40", "--overlap", "0.5"]) == 0
    assert json.loads((tmp_path / "out" / "report.jsonl").read_text())["mode"] == "tiles"
    inside = [("large.png", done, 4 + 3 * 3) for done in range(14)]  # rows of tiles, then windows that are written
    assert drawn == [("segmenting", 0, 1), *inside, ("segmenting", 1, 1)]


def test_predict_segments_images_in_parts_that_do_not_fit_into_the_memory(tmp_path, capsys):
    save(tmp_path / "in" / "large.png", np.zeros((500, 500)))
    save(tmp_path / "in" / "small.png", np.zeros((20, 20)))
    words = ["predict", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--memory"]
    assert run([*words, "500MB"]) == 0
    assert "large.png: 500x500 pixels in parts, with 0.0" in capsys.readouterr().err
    rows = (json.loads(line) for line in (tmp_path / "out" / "report.jsonl").read_text().splitlines())
    assert {Path(row["input"]).name: row["mode"] for row in rows} == {
        "large.png": "out of core",
        "small.png": "in memory",
    }
    words.insert(-1, "--quiet")
    assert run([*words, "500MB"]) == 0
    assert capsys.readouterr().err == ""
    assert run([*words, "436MB"]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "large.png: too large for memory: 500x500 pixels take 4" in err
    assert run([*words, "100MB"]) == 2
    assert "100 MB are too little" in capsys.readouterr().err
    assert run([*words, "lots"]) == 2
    assert "'lots' is not an amount of memory" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "predict", "video"])
def test_second_run_into_a_folder_is_refused(verb, dataset, tmp_path, capsys):
    data = [dataset, "--steps", "1", "--quiet"] if verb == "train" else [f"{dataset}/images/test"]
    output = tmp_path / "out"
    with only_run(output):
        assert run([verb, *data, "--output", str(output)]) == 2
    assert f"sweepseg: another run writes into {output}; wait for it or name" in capsys.readouterr().err
    assert not [*output.iterdir()]


def test_list_names_every_model(capsys):
    assert run(["list"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name in MODELS)
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    assert all(len(line) == 2 for line in lines), "every entry has a summary"
    assert ["raster", "one path over all pixels; runs strip by strip"] in lines
    assert ["hilbert", "one path over all pixels; needs the whole picture"] in lines
    assert run(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["models"] == [*MODELS]
    assert {"cells", "orders", "losses", "tasks", "controls"} <= listed.keys()
    assert out.index("models for sequence:") < out.index("  crnn ") < out.index("cells:")
    assert listed["families"]["sequence"] == ["crnn", "crnn_control"]


@pytest.mark.parametrize("name", ["sweepnet_small", None])
def test_info_counts_parameters(name, saved, capsys):
    assert run(["info", "--model", name or saved, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    network = MODELS["sweepnet_small"](num_classes=2 if name else 3)
    assert facts["parameters"] == sum(p.numel() for p in network.parameters())
    assert facts["streamable"] is False
    assert run(["info", "--model", name or saved]) == 0
    assert str(facts["parameters"]) in capsys.readouterr().out


def test_doctor_answers(capsys):
    assert run(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


def test_volumes_from_check_to_labels(phantoms, tmp_path, capsys):
    """Twenty steps beat the majority, whose Dice of everything but the background is 0."""
    import nibabel

    assert run(["check", str(phantoms)]) == 0
    assert re.search(r"sizes: (1[6-9]|20)x(1[6-9]|20)x(1[6-9]|20) \(1\)", capsys.readouterr().out)
    output, volumes = str(tmp_path / "model"), [str(phantoms), "--hold-out", "1/5"]
    options = "--steps 20 --batch-size 2 --crop [20,20,20] --learning-rate 1e-2 --ema 0.5 --scale [1,1] --no-flip"
    model = ["--model", "sweepnet_volume_small", "--output", output, "--loss", "cross_entropy + dice", "--quiet"]
    assert run(["train", *volumes, *model, *options.split()]) == 0
    capsys.readouterr()
    assert run(["val", *volumes, "--model", output, "--json", "--quiet"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert "boundary_f1" not in scores and max(scores["dice"][1:]) > 0.3
    assert run(["val", *volumes, "--model", output, "--video"]) == 2
    assert "video is not measured for volumes; leave out --video" in capsys.readouterr().err
    assert run(["info", "--model", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["takes"] == "volumes"
    masks = tmp_path / "masks"
    assert run(["predict", str(phantoms / "imagesTs"), "--model", output, "--output", str(masks), "--quiet"]) == 0
    labels, source = (nibabel.load(path) for path in (masks / "phantom_00_0000.nii.gz", *phantoms.glob("imagesTs/*")))
    assert labels.shape == source.shape and np.array_equal(labels.affine, source.affine)


def test_volumes_and_images_are_not_mixed_up(phantoms, saved, tmp_path, capsys):
    train = ["train", str(phantoms), "--steps", "1", "--output", str(tmp_path / "run"), "--quiet"]
    assert run(train) == 2
    assert "sweepnet_small is for segmentation, the task is multiclass on volumes" in capsys.readouterr().err
    assert run(["val", str(phantoms), "--split", "train", "--model", saved]) == 2
    assert "takes images, but" in capsys.readouterr().err


def test_sentences_are_measured_and_answered_with_the_words_of_the_model(tmp_path, capsys):
    """The data set says more, so its own numbers of "red" and "hat" are others."""
    told, data, folder = told_model(), tmp_path / "data", str(tmp_path / "told")
    save_model(folder, told)
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3))
    for split in ("train", "val"):
        save(data / "images" / split / "a.png", image)
        save(data / "instances" / split / "a.png", np.arange(24) // 12 + np.zeros((16, 1)))
    (data / "sentences").mkdir()
    (data / "sentences" / "train.tsv").write_text("a.png\t1\tany red hat\n")
    (data / "sentences" / "val.tsv").write_text("a.png\t1\tred hat\n")
    assert run(["predict", str(data / "images" / "val"), "--model", folder, "--text", "red hat", "--quiet",
                "--output", str(tmp_path / "out")]) == 0  # fmt: skip
    found, meant = np.asarray(Image.open(tmp_path / "out" / "a.png")) == 1, np.arange(24) // 12 + np.zeros((16, 1)) == 1
    assert 0 < found.sum() < found.size
    capsys.readouterr()
    assert run(["val", str(data), "--model", folder, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["overall_iou"] == pytest.approx((found & meant).sum() / (found | meant).sum())
    assert run(["predict", str(data / "images" / "val"), "--model", folder, "--output", str(tmp_path / "other")]) == 2
    assert "say it with --text" in capsys.readouterr().err
