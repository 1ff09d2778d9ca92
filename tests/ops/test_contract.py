"""The contract itself: a backend that registers torch.library operations gets opcheck without being listed anywhere."""

import sys

import pytest
import torch
from ops import contract
from ops.test_linear_scan import CASE

from sweepseg.ops._dispatch import Backend
from sweepseg.ops.linear_scan import _reference


@pytest.fixture
def library():
    with torch.library._scoped_library("sweepseg", "FRAGMENT") as library:
        library.define("toy_scan(Tensor decay, Tensor update) -> Tensor")
        library.impl("toy_scan", lambda decay, update: _reference.scan(decay, update, None, False)[0], "CPU")
        yield library


def registered(decay, update, initial, reverse):
    output = torch.ops.sweepseg.toy_scan(decay.detach(), update.detach())
    return output + 0 * (decay + update + initial.unsqueeze(-2)), initial


def opchecks(monkeypatch):
    backends = {"toy": Backend(registered)}
    monkeypatch.setattr(sys.modules["sweepseg.ops.linear_scan"], "BACKENDS", backends)
    return [promise.values[0] for promise in contract.promises([CASE], backends) if "opcheck" in promise.id]


def test_opcheck_is_found_and_passes(library, monkeypatch):
    torch.library.register_fake("sweepseg::toy_scan", lambda decay, update: torch.empty_like(update), lib=library)
    torch.library.register_autograd(
        "sweepseg::toy_scan", lambda context, gradient: (gradient * 0, gradient * 0), lib=library
    )
    (check,) = opchecks(monkeypatch)
    check()


def test_opcheck_is_found_and_fails_without_a_fake(library, monkeypatch):
    (check,) = opchecks(monkeypatch)
    with pytest.raises(Exception, match=r"toy_scan"):
        check()


def test_nothing_to_opcheck_in_the_reference():
    assert not contract.library_calls(contract.Subject(CASE, "reference", "cpu"))
