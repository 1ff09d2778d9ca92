import yaml

from sweepseg.cli import run
from sweepseg.models.folder import load


def test_training_on_the_command_line_gives_a_model_folder_and_its_settings(tmp_path, capsys):
    options = ["--output", str(tmp_path / "run"), "--steps", "2", "--batch-size", "2", "--crop", "[32,32]"]
    words = ["train", "nuclei", *options]
    assert run(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 steps in ") and f"sweepseg predict IMAGES --model {tmp_path / 'run'}" in out
    assert load(tmp_path / "run").config.classes == ("background", "nucleus")
    settings = yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())
    assert (settings["steps"], settings["crop"]) == (2, [32, 32])

    assert run([*words, "--quiet"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "holds an earlier run" in captured.err
