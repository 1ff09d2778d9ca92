import importlib.util
import sys

import pytest
import torch
from torch import nn

from sweepseg.compare.peers import PEERS, Whole, mend_torchvision
from sweepseg.errors import UsageError


class Quarter(nn.Module):
    """Takes multiples of 8 only and gives a map, a constant in each block of 4 x 4 pixels, at 1/4."""

    def forward(self, x):
        assert x.shape[2] % 8 == x.shape[3] % 8 == 0
        return {"logits": nn.functional.avg_pool2d(x, 4)}


def test_whole_pads_by_replication_enlarges_and_crops():
    model, x = Whole(Quarter(), 8, lambda output: output["logits"]), torch.randn(2, 3, 13, 21)
    padded = x[:, :, [*range(13), 12, 12, 12]][..., [*range(21), 20, 20, 20]]
    small = padded.unflatten(2, (4, 4)).unflatten(4, (6, 4)).mean((3, 5))
    expected = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)(small)[..., :13, :21]
    torch.testing.assert_close(model(x), expected)


def test_whole_pads_and_crops_volumes_too():
    model, x = Whole(nn.Identity(), 8, dimensions=3), torch.randn(2, 3, 5, 13, 8)
    seen = []
    model.network.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2:]))
    assert torch.equal(model(x), x) and seen == [(8, 16, 8)]


def test_whole_leaves_a_map_of_full_size_alone():
    x = torch.randn(1, 3, 13, 21)
    assert torch.equal(Whole(nn.Identity(), 8)(x), x)


PACKAGES = {
    "smp_unet_resnet18": "segmentation_models_pytorch",
    "segformer_b0": "transformers",
    "monai_unet": "monai",
    "monai_unet_volume": "monai",
}


@pytest.mark.parametrize("peer", PEERS)
def test_a_package_that_is_not_installed_is_named(peer, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[peer], None)
    with pytest.raises(UsageError, match=rf'{PACKAGES[peer]} is not installed.*pip install "sweepseg\[peers\]"'):
        PEERS[peer](2)


@pytest.mark.parametrize("peer", PEERS)
def test_peers_take_any_size_channels_and_classes(peer):
    if importlib.util.find_spec(PACKAGES[peer]) is None:
        pytest.skip(f"{PACKAGES[peer]} is not installed")
    size = (18, 21, 35) if peer.endswith("_volume") else (37, 50)
    for num_classes, in_channels in ((1, 1), (5, 3)):
        network = PEERS[peer](num_classes, in_channels)
        assert network.dimensions == len(size)
        assert network(torch.randn(2, in_channels, *size)).shape == (2, num_classes, *size)


@pytest.fixture
def torchvision(tmp_path, monkeypatch):
    """Installs a torchvision of a given text, for one test."""

    def forget():
        names = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
        return {name: sys.modules.pop(name) for name in names}

    def install(text):
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    real = forget()
    yield install
    forget()
    sys.modules.update(real)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="a real one declares them")
def test_torchvision_without_its_operations_is_mended(torchvision):
    """Its import declares what runs without data for two operations that its compiled library should have made."""
    text = "import torch\ntorch.library.register_fake('torchvision::nms')(lambda dets, scores, iou_threshold: dets)\n"
    torchvision(text)
    with pytest.raises(RuntimeError, match="torchvision::nms does not exist"):
        importlib.import_module("torchvision")
    mend_torchvision()
    assert sys.modules["torchvision"].torch is torch
    mend_torchvision()


def test_torchvision_that_fails_otherwise_says_so(torchvision):
    torchvision("raise RuntimeError('no memory')")
    with pytest.raises(RuntimeError, match="no memory"):
        mend_torchvision()
