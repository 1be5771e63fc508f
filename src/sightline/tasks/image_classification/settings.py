"""What a classifier of images is made from: images, their augmentation, a Vision Transformer and its training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sightline.config import FREE
from sightline.data.images import ImageSource
from sightline.data.pixels import Fit
from sightline.models.vit import ViTSizes
from sightline.tasks.settings import Frozen, RunSettings, check_metric
from sightline.train.metric import Metric, by_name
from sightline.train.settings import TrainSettings

METRICS = by_name(
    (Metric("loss", False, "nats"), Metric("accuracy", True, "%"), Metric("calibration_error", False, "%"))
)


class DataSettings(Frozen):
    """What is learned and measured."""

    train: tuple[ImageSource, ...] = Field(
        description="folders with a folder for each class, or IDX or NumPy files with labels = the file of classes; "
        "part = [from, to] as fractions",
    )
    validation: ImageSource | None = Field(None, description="images that choose the best checkpoint")
    test: dict[str, ImageSource] = Field(
        default={}, description="sets that `sightline evaluate` reports on, by name", json_schema_extra=FREE
    )
    classes: tuple[str, ...] = Field((), description="the classes; those of the training images where not given")
    fit: Fit = Field("crop", description="of images that are not square: crop takes the middle, squash all of them")
    mean: tuple[float, ...] = Field((0.5,), description="subtracted from pixels of 0 to 1; one, or one a channel")
    std: tuple[float, ...] = Field((0.5,), description="what they are divided by then; one, or one a channel")


class AugmentationSettings(Frozen):
    """How training images are changed each time they come."""

    shift: int = Field(0, ge=0, description="moved by up to so many pixels each way")
    shear: float = Field(
        0.0, ge=0, le=2, description="slanted by up to so many pixels each way for every pixel of height"
    )
    rotate: float = Field(0.0, ge=0, le=180, description="turned by up to so many degrees each way")
    zoom: float = Field(0.0, ge=0, lt=1, description="made larger or smaller by up to this share")
    flip: bool = Field(False, description="half of them mirrored; not for letters or digits")
    erase: float = Field(0.0, ge=0, le=1, description="share of them that lose a random rectangle")


class ImageSettings(RunSettings):
    """Everything a classifier of images is made from."""

    task: Literal["image_classification"] = Field("image_classification", description="what the model learns")
    data: DataSettings
    augmentation: AugmentationSettings = AugmentationSettings.model_validate({})
    calibrate: bool = Field(
        False, description="after training, scale probabilities to what validation shows them to be worth"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="probability spread over all classes")
    model: ViTSizes = ViTSizes.model_validate({})
    training: TrainSettings = TrainSettings.model_validate({})

    def given(self, source: str, reference: str | None = None, **columns: Any) -> ImageSource:
        """Images that are only named; of an IDX file the reference is that of their classes."""
        return ImageSource(source=source, labels=reference)

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are calibrated once training has ended."""
        return self.calibrate

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Image classifier"

    @property
    def span(self) -> int:
        """The most positions that attend to each other."""
        return self.model.side**2 + 1

    @property
    def validation_metrics(self) -> tuple[str, ...]:
        """The names of what is measured in validation."""
        return ("loss", "accuracy", "calibration_error")

    @model_validator(mode="after")
    def _fits(self) -> ImageSettings:
        check_metric(self.training, self.validation_metrics)
        if self.augmentation.shift >= self.model.image_size:
            raise ValueError(
                f"augmentation.shift {self.augmentation.shift}: must be under model.image_size {self.model.image_size}"
            )
        for name, values in (("mean", self.data.mean), ("std", self.data.std)):
            if len(values) not in (1, self.model.channels) or (name == "std" and min(values) <= 0):
                raise ValueError(f"data.{name}: {list(values)} must be one number, or one a channel, std above 0")
        return self
