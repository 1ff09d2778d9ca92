import numpy as np
import pytest
import torch
from inference.models import model, told_model
from PIL import Image

from sweepseg.errors import InputError, UsageError
from sweepseg.inference.averaging import Averaged
from sweepseg.inference.segment import segment
from sweepseg.inference.streaming import StreamingSegmenter

RANDOM = np.random.default_rng(0)
SIZES = [(1, 1), (1, 9), (7, 1), (2, 3), (97, 131), (16, 32)]


@pytest.fixture(scope="module")
def binary():
    return model()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("task", "classes", "logits"), [("binary", 2, 1), ("multiclass", 3, 3), ("multilabel", 2, 2)])
def test_mask_and_probabilities_have_exactly_the_size_of_the_image(task, classes, logits, size):
    result = segment(model(task, classes), RANDOM.integers(0, 256, (*size, 3), np.uint8))
    assert result.mask.dtype == np.uint8
    assert result.mask.shape == ((classes, *size) if task == "multilabel" else size)
    assert result.probabilities.dtype == np.float32
    assert result.probabilities.shape == (logits, *size)
    assert result.overlay().shape == (*size, 3)


def test_answer_is_what_the_network_says_worked_out_with_numpy():
    three = model("multiclass", 3)
    image = RANDOM.integers(0, 256, (20, 24, 3), np.uint8)
    with torch.no_grad():
        normalised = torch.from_numpy((image / 255 - 0.5) / 0.25).float().permute(2, 0, 1)[None]
        logits = three.network(normalised)[0].double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(0)
    result = segment(three, image)
    np.testing.assert_allclose(result.probabilities, shares, atol=1e-6)
    np.testing.assert_array_equal(result.mask, shares.argmax(0))


def test_every_way_to_give_one_image_gives_one_answer(binary, tmp_path):
    grey = RANDOM.integers(0, 256, (21, 34), np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    want = segment(binary, grey).probabilities
    for same in (
        grey[..., None],
        grey[..., None].repeat(3, 2),
        grey.astype(np.uint16) * 257,
        grey / np.float32(255),
        grey[::-1].copy()[::-1],  # rows of negative stride
        tmp_path / "grey.png",
        str(tmp_path / "grey.png"),
    ):
        np.testing.assert_array_equal(segment(binary, same).probabilities, want)


def test_colour_becomes_luma_for_a_model_of_grey():
    grey = model(channels=1)
    image = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    assert segment(grey, image).image == pytest.approx(np.full((4, 4, 1), 0.299), abs=1e-3)


def test_image_is_not_modified(binary):
    image = RANDOM.random((9, 9, 3), np.float32)
    before = image.copy()
    image.setflags(write=False)
    segment(binary, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 2), np.uint8), "2 channels but the model takes 3"),
        (np.zeros((3, 4, 5), np.uint8), "5 channels but the model takes 3"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\); give \(H, W\)"),
        (np.zeros(4, np.uint8), r"\(4,\); give \(H, W\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\); give \(H, W\)"),
        (np.full((4, 4), 255.0), r"\[255, 255\], outside of \[0, 1\]"),
        (np.full((4, 4), np.nan), "outside of"),
    ],
)
def test_array_that_does_not_suit_is_refused_with_what_came_and_what_was_wanted(binary, image, words):
    with pytest.raises(ValueError, match=words):
        segment(binary, image)


def test_file_that_cannot_be_read_is_an_input_error(binary, tmp_path):
    with pytest.raises(InputError, match="nothing"):
        segment(binary, tmp_path / "nothing.png")


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3), ("multilabel", 2)])
def test_nan_is_refused_and_never_becomes_a_class(task, classes):
    broken = model(task, classes)
    with torch.no_grad():
        broken.network.stages["head"].module.project.bias[-1] = torch.nan
    with pytest.raises(ValueError, match="non-finite"):
        segment(broken, np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_constant_images_have_finite_answers(binary, value):
    assert np.isfinite(segment(binary, np.full((33, 17, 3), value, np.uint8)).probabilities).all()


@pytest.fixture(scope="module")
def told():
    return told_model()


def test_answer_to_a_sentence_is_what_the_network_says_of_its_words(told):
    image = RANDOM.integers(0, 256, (20, 28, 3), np.uint8)
    with torch.no_grad():
        normalised = torch.from_numpy((image / 255 - 0.5) / 0.25).float().permute(2, 0, 1)[None]
        logits = told.network(normalised, torch.tensor([[1, 3, 2]]))[0]
    result = segment(told, image, "The red hat!")  # "the" is unknown
    np.testing.assert_allclose(result.probabilities, logits.sigmoid().numpy(), atol=1e-6)
    np.testing.assert_array_equal(result.mask, (logits[0] > 0).numpy())
    assert (segment(told, image, "hat").probabilities != result.probabilities).any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "the model finds what a sentence means; say it with --text"),
        ("", "'' has no word"),
        ("a blue cup", "no word of 'a blue cup' is known; known are hat, red"),
        ("red " * 101, "has 101 words; at most 100 are read"),
    ],
)
def test_sentences_that_cannot_be_understood_are_refused(told, text, words):
    with pytest.raises(UsageError, match=words):
        segment(told, np.zeros((8, 8, 3), np.uint8), text)


def test_a_sentence_is_for_models_that_take_one_and_its_picture_is_taken_as_a_whole(binary, told):
    with pytest.raises(UsageError, match="the text is 'red hat', but the model is for task binary; leave it out"):
        segment(binary, np.zeros((8, 8, 3), np.uint8), "red hat")
    for use in (StreamingSegmenter, Averaged):
        with pytest.raises(UsageError, match="task referring, which takes images as a whole"):
            use(told)
