import torch

from sweepseg.models.segmenter import ModelConfig, Segmenter


def test_images_are_normalised_channel_by_channel_before_the_network():
    config = ModelConfig(
        builder="", task="multiclass", classes=("a", "b"), palette=((0, 0, 0),) * 2, mean=(0.25, 0.5), std=(0.5, 2.0)
    )
    segmenter = Segmenter(torch.nn.Identity(), config)
    image = torch.tensor([1.0, 0.5, 0.0, 1.0]).view(1, 2, 1, 2)
    torch.testing.assert_close(segmenter(image).flatten(), torch.tensor([1.5, 0.5, -0.25, 0.25]))
    assert segmenter.state_dict() == {}  # the normalisation lies in the config, not among the weights
