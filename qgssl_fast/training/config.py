"""Every setting of a run, as typed dataclasses; the doc line under a field is its help text on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class VolumesConfig:
    """How volumes (NIfTI, HDF5) become samples: slices where images.size has two sides, patches where it has three."""

    spacing: list[float] | None = None
    """Millimetres along z, y, x; null: as it is where all volumes agree, else the median of the set."""
    intensity: str = "percentile"
    """What becomes black and white: percentile (0.5 and 99.5 of each volume), zscore (4 deviations) or window."""
    window: list[float] | None = None
    """Low and high of intensity=window, Hounsfield units for CT."""
    patches: int = 4
    """Patches of each volume that is larger than images.size."""
    foreground: float = 0.5
    """Share of the patches that is centred on a voxel of a class."""
    anew: bool = True
    """Segmenters see other patches in each step (where whole volumes fit on the device beside those that are cut)."""


@dataclass
class ImagesConfig:
    """How images and masks are read."""

    size: list[int] = field(default_factory=lambda: [96, 96])
    """Height and width in pixels that everything is resized to; depth, height and width of volumes' patches."""
    channels: int | None = None
    """Image channels, 1 or 3; null: 1 where all images are grey, else 3. Volumes have as many as they have."""
    classes: int | None = None
    """Values in the masks of images, background included; null: 2. Volumes and dataset.json tell it themselves."""
    labelled: float | str | None = None
    """Training images that keep their mask: a fraction (< 1), a count, or a file of names; the others become
    unlabelled. null: all."""
    unlabelled: int | None = None
    """At most this many unlabelled images (a seeded choice); null: all."""
    dtype: str = "auto"
    """What decoded images are kept as: uint8, float16, or auto: float16 where files hold more than 8 bits a pixel."""
    allow_empty_masks: bool = False
    """Take a mask without foreground as a label; otherwise it is reported as a fault."""
    normalization: str = "dataset"
    """"dataset": mean and standard deviation of the training images; "imagenet": those of ImageNet (RGB only)."""
    volumes: VolumesConfig = field(default_factory=VolumesConfig)
    """How volumes become samples."""
    tier: str = "auto"
    """Where decoded images lie: device, host (pinned, fetched ahead), disk (memory-mapped), stream (unlabelled images
    of shards, read as they are used), or auto: by their size."""
    budget_gb: float | None = None
    """Memory that they may take there, in 1e9 bytes; null: 0.6 of what is free."""
    buffer: int = 1024
    """Samples that a stream of shards draws from."""


@dataclass
class PhantomsConfig:
    """The built-in phantoms, used where no data set is given."""

    train: int = 12
    """Labelled images for training."""
    val: int = 16
    """Images for validation."""
    test: int = 64
    """Images for the test."""
    unlabeled: int = 240
    """Images without masks."""


@dataclass
class WeakConfig:
    """Half-trained segmenters whose predictions show the quality predictor real errors."""

    network: str = "UNet"
    """Network name (see `qgssl-fast doctor`)."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the network, passed to its constructor."""
    epochs: int = 20
    """Epochs of training."""
    steps_per_epoch: int | None = None
    """Optimiser steps per epoch; null: one pass over the labelled images."""
    snapshots: list[int] = field(default_factory=lambda: [1, 3, 5, 10, 15, 20])
    """Epochs after which the model's predictions go into the mask bank."""
    batch: int = 16
    """Images per step."""
    lr: float = 1e-3
    """Learning rate (Adam)."""
    folds: int = 1
    """Cross-fitting: so many models, each predicts the training images that it was not trained on; 1: one model, which
    predicts those that it was trained on (published)."""


@dataclass
class QualityConfig:
    """The quality predictor g."""

    backbone: str = "resnet18"
    """resnet18, efficientnet-b0, densenet121 or small."""
    file: str | None = None
    """A predictor (quality.safetensors) that was trained before, taken in place of training one."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the backbone."""
    recipe: str = "default"
    """Corruption recipe: paper, default, or the path of a TOML file."""
    epochs: int = 150
    """Epochs of training."""
    steps_per_epoch: int | None = None
    """Optimiser steps per epoch; null: as many as corruptions_per_image needs."""
    corruptions_per_image: int = 50
    """Corrupted masks per labelled image and epoch, where steps_per_epoch is null."""
    validation_corruptions: int = 5
    """Corrupted masks per validation image (drawn once, from a fixed seed)."""
    test_corruptions: int = 5
    """Corrupted masks per test image (drawn once, from a fixed seed)."""
    batch: int = 32
    """Samples per step."""
    lr: float = 3e-4
    """Learning rate (AdamW, cosine to zero)."""
    warmup: int = 0
    """Steps over which the learning rate rises from zero before."""
    weight_decay: float = 5e-4
    """Weight decay (AdamW)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    beta: float = 1.0
    """Error of the quality from which SmoothL1 grows linearly; below it, with the square."""
    patience: int = 25
    """Stop after this many epochs without a better validation loss; 0: never."""
    dense: int = 0
    """Channels of a second head, which says where a mask is wrong (guides quality_map, correction); 0: none."""
    dense_weight: float = 1.0
    """Weight of the second head's loss."""
    soft: float = 0.0
    """Share of the masks that are softened, so that the regulariser asks for nothing unseen; 0: as the recipe."""
    calibrate: bool = False
    """Isotonic regression of the scores on the validation masks."""
    augmentation: str = "image_only"
    """image_only: slight changes of light, colour and noise (published); moved: image and mask are also moved together,
    which leaves the quality as it is; strong: the same with strong changes of light, colour and noise."""


@dataclass
class LambdaConfig:
    """The weight of the unlabelled loss over time: 0, then a linear ramp, then constant."""

    start: int = 15
    """Epochs at 0."""
    ramp: int = 30
    """Epochs of the linear ramp that follows."""
    maximum: float = 0.25
    """Value after the ramp."""


@dataclass
class SegmenterConfig:
    """The segmenter f and its semi-supervised training."""

    network: str = "BasicUNetPlusPlus"
    """Network name."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the network, passed to its constructor."""
    epochs: int = 200
    """Epochs of training."""
    steps_per_epoch: int | None = None
    """Optimiser steps per epoch; null: one pass over the labelled images."""
    labelled_batch: int = 32
    """Labelled images per step."""
    unlabelled_batch: int = 64
    """Unlabelled images per step (while lambda > 0)."""
    lr: float = 1e-4
    """Learning rate (AdamW, cosine to min_lr)."""
    min_lr: float = 1e-6
    """Learning rate at the end."""
    weight_decay: float = 1e-4
    """Weight decay (AdamW)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the teacher's moving average, ramped up as min(ema, (1 + t) / (10 + t)); the teacher is evaluated."""
    patience: int = 30
    """Stop after this many epochs without a better validation Dice, from the end of the ramp on; 0: never."""
    validate_every: int = 1
    """Epochs between validations."""
    method_lambda: LambdaConfig = field(default_factory=LambdaConfig)
    """Weight of the method's unlabelled loss."""
    regularizer_lambda: LambdaConfig = field(default_factory=lambda: LambdaConfig(30, 40, 0.01))
    """Weight of the quality regulariser (QAR)."""
    method: dict[str, Any] = field(default_factory=dict)
    """Options by method: {mean_teacher: {kind: kl}}."""
    guide: dict[str, Any] = field(default_factory=dict)
    """Options by guide: {quality: {threshold: 0.5, temperature: 2.0}}."""
    gate: bool = False
    """A guide acts only as strongly as it helps on the weak models' masks of validation images."""
    guard: float = 0.0
    """Where a validation finds that predicted quality has risen over true Dice by more than this since lambda was 0,
    the networks go back to the validation before and the regulariser's lambda is cut to a tenth, the third time to 0;
    0: never."""
    refresh: int = 0
    """Epochs between times when the predictor learns from the current segmenter's masks of the validation images; 0:
    never."""
    refresh_steps: int = 50
    """Steps of the predictor each time."""
    strong: bool = True
    """The student sees a strong change of appearance, the teacher a weak one; false: both see the same view."""


@dataclass
class Config:
    """A run."""

    data: str | None = None
    """Folder of the data set, or folder or URL of shards; null: phantoms made on the spot."""
    out: str | None = None
    """Run folder; null: the next free runs/NAME-001. A folder that holds a run is resumed."""
    methods: list[str] = field(default_factory=lambda: ["SUP", "PL-QW", "QAR"])
    """Methods to train, by published name or as method+guide (pseudo_label+quality)."""
    seed: int = 0
    """Seed of everything that is drawn."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: str = "no"
    """no (float32), bf16 or fp16: autocast of the networks."""
    accumulate: int = 1
    """Parts that each rank's share of a batch is computed in, one after the other: less memory, the same step."""
    channels_last: bool = False
    """Networks in channels-last memory format (faster convolutions on recent GPUs)."""
    compile: bool = False
    """torch.compile of the trained networks."""
    cuda_graphs: bool = False
    """The whole step as one CUDA graph (one GPU, accumulate 1, not with fp16 or profile)."""
    look_every: int = 200
    """Steps within an epoch between looks at the losses: whether they are finite, and whether it is time to save."""
    checkpoint_seconds: float = 10.0
    """A checkpoint is written at the first look, or end of an epoch, after so many seconds."""
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where curves go beside log.jsonl: names of accelerate's trackers (tensorboard, wandb, mlflow, aim, ...)."""
    profile: bool = False
    """Write a trace of a few steps of each stage, and a table of where their time goes, to RUN/profile."""
    threads: int | None = None
    """CPU threads; null: as torch finds them."""
    images: ImagesConfig = field(default_factory=ImagesConfig)
    """How images and masks are read."""
    phantoms: PhantomsConfig = field(default_factory=PhantomsConfig)
    """The built-in phantoms."""
    weak: WeakConfig = field(default_factory=WeakConfig)
    """Half-trained segmenters for the mask bank."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """The quality predictor."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The segmenter."""
