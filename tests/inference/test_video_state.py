"""States of videos on disk."""

import pytest
import torch
from safetensors.torch import save

from sweepseg.errors import ModelFileError
from sweepseg.inference.video_state import check_state, load_state, save_state

STATE = {"deep": torch.randn(1, 2, 3, 4), "deeper": (torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2))}


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else all(map(torch.equal, a, b)) and len(a) == len(b)


@pytest.mark.parametrize("state", [STATE, {}])
def test_comes_back_as_it_was(tmp_path, state):
    save_state(tmp_path / "state", state)
    again = load_state(tmp_path / "state")
    assert again.keys() == state.keys() and all(same(again[name], state[name]) for name in state)
    check_state(again, like=state)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\xff" * 100, save({"a": torch.zeros(3)})[:-4]],
    ids=["empty", "zip", "noise", "cut"],
)
def test_what_is_no_state_is_refused(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ModelFileError, match="state"):
        load_state(tmp_path / "state")


@pytest.mark.parametrize(
    "other",
    [
        {},
        {**STATE, "more": torch.zeros(1)},
        {**STATE, "deep": torch.zeros(1, 2, 3, 5)},
        {**STATE, "deep": torch.zeros(1, 2, 3, 4, dtype=torch.float64)},
        {**STATE, "deeper": STATE["deeper"][:1]},
        {**STATE, "deep": torch.full((1, 2, 3, 4), torch.nan)},
    ],
    ids=["nothing", "more", "size", "type", "half", "nan"],
)
def test_states_that_do_not_fit_are_refused(other):
    with pytest.raises(ModelFileError, match="the state holds"):
        check_state(other, like=STATE)
