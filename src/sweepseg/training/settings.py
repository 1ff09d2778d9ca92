"""The settings of one training run: what the command line offers, what a run saves beside its weights."""

from dataclasses import asdict, dataclass, fields
from typing import Literal

from ..errors import UsageError
from ..task_names import TaskName

FREE = {"output", "workers", "resume", "tensorboard", "save_every", "device"}  # settings that do not decide the result


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One training run. Everything that decides the result stands here, so equal settings give equal weights.

    Args:
        data: Folder of the data set, a YAML file with its `root` and `classes`, or the bundled "nuclei", "digits",
            "digit_glyphs" (classification), "digit_lines" (sequence) or "digit_sentences" (referring).
        output: Folder of the run: weights, settings, metrics and checkpoints.
        model: Name of a model; see `sweepseg list`.
        arguments: What its builder takes beside classes and channels, by name; sweepnet_small takes causal, cell,
            order, units, local and detail, such as {cell: gru, units: 48}.
        task: binary, multiclass or multilabel, for which the data set tells by default; classification of images in
            class folders or IDX files; sequence, for lines of text; generation, for pictures alone, grey ones drawn
            in black and white; instances, or detection, for many or for few objects, which are numbered in
            `instances/` beside `images/`; referring, for what a sentence means; or regression, for maps of numbers in
            `maps/`. Lines, pictures alone and pictures with sentences are never cropped, scaled or flipped, those with
            maps of numbers never scaled.
        hold_out: Train on the training pictures whose names do not start with this and validate on those that do; or
            1/5 to validate on every fifth in the order of names.
        labels: Share of the annotations of the training pictures that is used, above 0, up to 1, drawn by the seed;
            those of a smaller share are among those of a larger one.
        consistency: Weight of what is learned from training pictures without labels, 0 for nothing: to label them as
            the moving average of the weights does, even when rectangles of one lie in another.
        confidence: Probability that the average must give a label for it to be learned, 0 to 1.
        epochs: Passes over the training pictures that have labels; by default 50, or as many as make 1,000 steps where
            that is more.
        steps: Number of optimizer steps, instead of epochs.
        batch_size: Pictures in a batch.
        accumulate: Batches whose gradients are added up for one optimizer step.
        input_range: Values of the images that become 0 and 1, such as [0, 4095]; by default the whole range of integer
            types, and 0 to 1 for floats.
        crop: Height and width of the training crops in pixels; by default the size of the first training picture, at
            most 512. Of volumes depth, height and width, at most 96.
        clip_length: Frames of a training clip, for videos; 1 trains on single pictures.
        clip_stride: Frames from one frame of a clip to the next.
        chunk_length: Frames through which gradients go back in time; the state is carried on to the rest of the clip
            without them. By default all of a clip.
        optimizer: adamw, adam or sgd.
        momentum: Of sgd, Nesterov's, 0 to 1; 0 is plain gradient descent.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled decay of weights (biases and norms are exempt).
        l1: Factor of the sum of absolute weights, added to the loss.
        l2: Factor of the sum of squared weights, added to the loss.
        schedule: cosine (linear warm-up, then half a cosine to 0) or one_cycle (the same shape with 30 % warm-up).
        warmup: Share of the steps in which a cosine schedule warms up.
        loss: Terms and weights, such as "cross_entropy + 0.5 dice"; also adjusted_cross_entropy, focal,
            lovasz and mean_squared_error; of regression mse or smooth_l1. By default cross_entropy + dice, of
            whole images cross_entropy, of regression mse.
        teacher: Folder of a trained model of the same classes whose probabilities are learned as well.
        teacher_weight: Share of the loss, 0 to 1, that is the cross-entropy against the teacher's probabilities.
        class_weights: none, median_frequency or inverse_sqrt; counted over the training masks.
        label_smoothing: Share of each target spread over all classes, for cross_entropy.
        clip: Largest norm of the gradient; 0 for none.
        clip_value: Largest absolute value of an element of the gradient, after `clip`; 0 for none.
        ema: Decay of the moving average of the weights, which is what is validated and saved; 0 for none.
        precision: float32, or bfloat16 for mixed precision.
        scale: Smallest and largest random scale.
        flip: Whether to flip left-right at random.
        flip_vertical: Whether to flip top-bottom at random.
        rotate: Largest random rotation in degrees; corners that come in are ignored.
        colour: Strength of random brightness, contrast, saturation and hue, 0 to 1; of volumes brightness and contrast.
        blur: Probability of a random Gaussian blur.
        noise: Largest standard deviation of random Gaussian noise, in units of the image range; of volumes in units of
            their standard deviation.
        oversample_foreground: Share of the crops, 0 to 1, that are sure to hold a pixel of a class drawn from those in
            the picture other than its most frequent one; for thin and rare structures.
        cutmix: Probability, for each crop, of a rectangle with pixels and labels of another crop of its batch.
        validate_every: Epochs between validations, by default 5, or a tenth of the run where that is more; the last
            step is always validated.
        early_stop: Validations without a better score after which to stop and keep the best; 0 for never.
        save_every: Steps between checkpoints, beside the one at each validation.
        tensorboard: Whether to write TensorBoard logs beside metrics.csv.
        workers: Processes that read and augment; 0 does it in the main process. The result does not depend on it.
        seed: Seed of weights, order, augmentation and dropout.
        device: cpu, cuda, or auto.
        resume: Continue the run in `output` from its newest checkpoint.
    """

    data: str
    output: str = "runs/train"
    model: str = "sweepnet_small"
    arguments: dict[str, bool | int | float | str] | None = None
    task: TaskName | None = None
    hold_out: str | None = None
    labels: float = 1.0
    consistency: float = 0.0
    confidence: float = 0.9
    epochs: float | None = None
    steps: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    input_range: tuple[float, float] | None = None
    crop: tuple[int, int] | tuple[int, int, int] | None = None
    clip_length: int = 1
    clip_stride: int = 1
    chunk_length: int | None = None
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = 0.9
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    l1: float = 0.0
    l2: float = 0.0
    schedule: Literal["cosine", "one_cycle"] = "cosine"
    warmup: float = 0.05
    loss: str | None = None
    teacher: str | None = None
    teacher_weight: float = 0.5
    class_weights: Literal["none", "median_frequency", "inverse_sqrt"] = "none"
    label_smoothing: float = 0.0
    clip: float = 1.0
    clip_value: float = 0.0
    ema: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    flip_vertical: bool = False
    rotate: float = 0.0
    colour: float = 0.4
    blur: float = 0.0
    noise: float = 0.0
    oversample_foreground: float = 0.0
    cutmix: float = 0.0
    validate_every: int | None = None
    early_stop: int = 0
    save_every: int = 500
    tensorboard: bool = False
    workers: int = 0
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    resume: bool = False

    def __post_init__(self) -> None:
        at_least_one = ("batch_size", "accumulate", "clip_length", "clip_stride", "save_every")
        not_negative = (
            "consistency",
            "l1",
            "l2",
            "weight_decay",
            "clip",
            "clip_value",
            "rotate",
            "noise",
            "early_stop",
            "workers",
            "seed",
        )
        shares = (
            "confidence",
            "ema",
            "blur",
            "colour",
            "label_smoothing",
            "oversample_foreground",
            "cutmix",
            "teacher_weight",
            "warmup",
            "momentum",
        )
        for name in at_least_one:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in not_negative:
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in shares:
            self._require(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        self._require("labels", 0 < self.labels <= 1, "more than 0, up to 1")
        self._require("label_smoothing", self.label_smoothing < 1, "less than 1")
        self._require("epochs", self.epochs is None or self.epochs > 0, "more than 0")
        for name in ("steps", "chunk_length", "validate_every"):
            value = getattr(self, name)
            self._require(name, value is None or value >= 1, "at least 1")
        self._require("learning_rate", self.learning_rate > 0, "more than 0")
        self._require("crop", self.crop is None or min(self.crop) >= 1, "a height and width of at least 1")
        self._require("input_range", self.input_range is None or self.input_range[0] < self.input_range[1], "low, high")
        self._require("scale", 0 < self.scale[0] <= self.scale[1], "the smaller first, more than 0")

    def _require(self, name: str, condition: bool, wanted: str) -> None:
        if not condition:
            raise UsageError(f"{name} is {getattr(self, name)}; give {wanted}")

    def as_dict(self) -> dict:
        """The settings as plain values, for YAML and checkpoints."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def differing(self, other: dict) -> list[str]:
        """Names of the settings that decide the result and that differ from those of an earlier run.

        A setting that the earlier run did not know yet had the effect of its default.
        """
        mine = self.as_dict()
        return [f.name for f in fields(self) if f.name not in FREE and mine[f.name] != other.get(f.name, f.default)]
