import json

import pytest
import yaml
from training.harness import Tiny, write_pictures

from sweepseg.cli import run
from sweepseg.models import MODELS
from sweepseg.training import fit


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    (tmp_path / "search.yaml").write_text("learning_rate: {low: 1.0e-3, high: 0.1, log: true}\ncolour: [0, 0.4]\n")
    data = str(write_pictures(tmp_path / "data", train=2, val=1))
    options = ["--model", "tiny", "--steps", "1", "--batch-size", "2", "--search", str(tmp_path / "search.yaml")]
    return ["tune", data, *options, "--output", str(tmp_path / "tune")]


def test_trials_are_listed_and_the_best_is_a_file_for_train(words, tmp_path, capsys):
    assert run([*words, "--trials", "2"]) == 0
    head, first, second, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["trial", "outcome", "score", "step", "learning_rate", "colour"]
    assert first.split()[:2] == ["0", "complete"] and second.split()[:2] == ["1", "complete"]
    best = tmp_path / "tune" / "best.yaml"
    assert last.endswith(f"sweepseg train DATA --config {best}")

    assert run([*words, "--trials", "2", "--quiet", "--json"]) == 0  # all is there already
    captured = capsys.readouterr()
    trials = json.loads(captured.out)
    assert captured.err == "" and [trial["number"] for trial in trials] == [0, 1]
    chosen = max(trials, key=lambda trial: trial["score"])["chosen"]
    assert {name: yaml.safe_load(best.read_text()).get(name, 0.4) for name in chosen} == chosen  # 0.4 is the default


def test_a_search_without_a_whole_trial_is_4(words, monkeypatch, capsys):
    monkeypatch.setattr(fit, "_criterion", lambda *_: lambda image, logits, target: logits.sum() * float("nan"))
    assert run([*words, "--trials", "1", "--quiet"]) == 4
    assert capsys.readouterr().err.endswith("no trial came to its end; search among smaller learning rates\n")
