import torch

from sweepseg.benchmark.machine import describe, processor
from sweepseg.ops import _native


def test_machine_is_named(monkeypatch):
    machine = describe()
    assert (machine["torch"], machine["threads"]) == (torch.__version__, torch.get_num_threads())
    assert machine["kernels"] == _native.variant() and machine["processor"] and machine["cores"] >= 1
    monkeypatch.setattr(_native, "problem", "built without kernels")
    assert describe()["kernels"] == "none"


def test_processor_comes_from_the_list_of_processors(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast: 9 GHz\nflags\t: fpu\n")
    assert processor(tmp_path / "cpuinfo") == "Fast: 9 GHz"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    assert processor(tmp_path / "cpuinfo") == processor(tmp_path / "nowhere") != ""
