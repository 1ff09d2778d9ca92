import pytest

from sweepseg.cli import progress


def test_nothing_is_drawn_for_what_is_over_at_once(capsys):
    assert [*progress.tracker("working", quiet=False)(range(3))] == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bar_counts_to_the_end_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert [*progress.tracker("working", quiet=False)(range(3))] == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "working" in captured.err and "3/3" in captured.err


def test_quiet_draws_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert [*progress.tracker("working", quiet=True)(range(3))] == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bar_is_taken_down_when_the_work_fails(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with pytest.raises(ZeroDivisionError), progress.bar() as update:
        update("working", 1, 2)
        raise ZeroDivisionError
    assert "1/2" in capsys.readouterr().err
