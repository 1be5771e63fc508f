"""Learning the classes of images with a Vision Transformer (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.augmentation import Augmentation
from sightline.data.batches import DataPosition, iterate
from sightline.data.images import Images, ImageSource, read_images
from sightline.data.mixing import SHUFFLING, generator
from sightline.data.progress import Report, silent
from sightline.data.tokenizer import Tokenizer
from sightline.decode.probabilities import softmax
from sightline.errors import DataError, nearest
from sightline.models.vit import ViT
from sightline.nn.context import PassContext
from sightline.predict.metrics import calibration_error
from sightline.tasks.base import BaseTask
from sightline.tasks.image_classification.settings import METRICS, ImageSettings

UNKNOWN = -1  # in place of a class that training never had


def complete(settings: ImageSettings) -> ImageSettings:
    """The settings with the classes of the training images. Raises DataError where there is one only."""
    if settings.data.classes or not settings.data.train:
        return settings
    names = {name for files in settings.data.train for name in read(settings, files).names}
    if len(names) < 2:
        raise DataError(f"{settings.data.train[0].source}: {len(names)} class; there must be two or more")
    # numbers by their size
    ordered = sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    return settings.model_copy(update={"data": settings.data.model_copy(update={"classes": tuple(ordered)})})


def read(settings: ImageSettings, files: ImageSource, cache_dir: Path | None = None, report: Report = silent) -> Images:
    """The images of these files, in the model's size."""
    return read_images(
        files, settings.model.image_size, settings.model.channels, cache_dir, fit=settings.data.fit, report=report
    )


def read_labelled(
    settings: ImageSettings,
    files: ImageSource,
    cache_dir: Path | None = None,
    report: Report = silent,
    unknown_labels: bool = False,
) -> Images:
    """The same with the model's numbers of the classes.

    Raises DataError for a class that training has not, but where `unknown_labels` is set: that is `UNKNOWN`.
    """
    found, known = read(settings, files, cache_dir, report), settings.data.classes
    for name in found.names:
        if name not in known and not unknown_labels:
            raise DataError(f'{files.source}: no training image is of the class "{name}"{nearest(name, known)}')
    numbers = np.array([known.index(name) if name in known else UNKNOWN for name in found.names], dtype=np.int64)
    return replace(found, classes=numbers[found.classes], names=known)


def no_tokenizers(settings: ImageSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """Images have none."""
    return {}


def make_model(settings: ImageSettings, tokenizers: dict[str, Tokenizer]) -> ViT:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return ViT(settings.model, max(len(settings.data.classes), 1))


class ImageOrder:
    """Images in random order, `rows` at a time: a pure function of (seed, epoch, index)."""

    def __init__(self, count: int, rows: int, *, seed: int) -> None:
        self.seed = seed
        self._count, self._rows = count, rows
        self._current: tuple[int, list[np.ndarray]] | None = None

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order: numbers of images. The latest epoch asked for is kept."""
        if self._current is None or self._current[0] != epoch:
            order = generator(SHUFFLING, self.seed, epoch).permutation(self._count)
            self._current = (epoch, [order[low : low + self._rows] for low in range(0, self._count, self._rows)])
        return self._current[1]


@dataclass(frozen=True)
class ImageBatch:
    """Images as the model reads them and their classes; `indices` says which they are."""

    images_BCYX: Tensor
    targets_B: Tensor
    indices: np.ndarray

    def split(self, parts: int) -> list[ImageBatch]:
        """The images dealt out to at most `parts` batches of like size."""
        count = min(parts, len(self.indices))
        rows = [slice(part, None, count) for part in range(count)]
        return [ImageBatch(self.images_BCYX[one], self.targets_B[one], self.indices[one]) for one in rows]


def to_tensor(settings: ImageSettings, pixels_BYXC: np.ndarray, model: ViT) -> Tensor:
    """Bytes as the model wants them: (B, C, Y, X), scaled and shifted, in its precision and on its device."""
    weight = next(model.parameters())
    # a copy: what is mapped into memory cannot be written to, which torch wants to be able to
    images = torch.from_numpy(np.array(pixels_BYXC.transpose(0, 3, 1, 2), order="C")).to(weight.device)
    mean, std = (
        torch.tensor(one, device=weight.device).view(-1, 1, 1) for one in (settings.data.mean, settings.data.std)
    )
    return ((images.float() / 255 - mean) / std).to(weight.dtype)


class ImageTask(BaseTask[ViT]):
    """Joins a model with images for the training loop."""

    unit = "images"
    metrics = METRICS
    settings: ImageSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        self._change = Augmentation(**settings.augmentation.model_dump())
        self._train = [read_labelled(settings, files, cache_dir, report) for files in settings.data.train]
        validation: Any = settings.data.validation
        self._validation = read_labelled(settings, validation, cache_dir, report)
        self._starts = np.cumsum([0, *map(len, self._train)])
        count = int(self._starts[-1])
        if not count or not len(self._validation):
            raise DataError(f"{settings.data.train[0].source if not count else validation.source}: no images")
        rows = max(1, settings.training.tokens_per_batch // settings.span)
        self._order = ImageOrder(count, rows, seed=settings.training.seed)
        report(f"images: {count:,} of {len(settings.data.classes)} classes, {len(self._validation):,} to validate")
        report(f"batches: {len(self._order.epoch(0)):,} per epoch of {rows:,} images in {settings.span} positions each")

    def _rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and classes of images by their number over all sources."""
        origin = np.searchsorted(self._starts, indices, side="right") - 1
        rows = indices - self._starts[origin]
        pairs = [(self._train[int(o)], int(row)) for o, row in zip(origin, rows, strict=True)]
        return np.stack([source.pixels[i] for source, i in pairs]), np.array([source.classes[i] for source, i in pairs])

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, ImageBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, indices in iterate(self._order, position):
            pixels, classes = self._rows(indices)
            pixels = self._change(pixels, position.seed, position.epoch, position.batch)
            images = to_tensor(self.settings, pixels, self.model)
            yield after, ImageBatch(images, torch.from_numpy(classes).to(images.device), indices)
            position = after

    def num_units(self, batch: ImageBatch) -> int:
        """Images."""
        return len(batch.indices)

    def loss(self, batch: ImageBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Cross-entropy (nats) summed over the images, and how many those are."""
        logits_BC = self.model(batch.images_BCYX, ctx=PassContext(generator)).float()
        smoothing = self.settings.label_smoothing
        loss = F.cross_entropy(logits_BC, batch.targets_B, reduction="sum", label_smoothing=smoothing)
        return loss, len(batch.targets_B), {}

    def describe(self, batch: ImageBatch) -> str:
        """Names a batch in an error message: the numbers of its first images."""
        return f"images {batch.indices[:5].tolist()}…"

    def validate(self) -> dict[str, float]:
        """See `measure`."""
        return measure(self.settings, self.model, self._validation)


@torch.inference_mode()
def scores(settings: ImageSettings, model: ViT, pixels_NYXC: np.ndarray) -> Tensor:
    """Logits (N, C) of images in bytes, in fp32."""
    rows = max(1, settings.training.tokens_per_batch // settings.span)
    found = [torch.zeros(0, max(len(settings.data.classes), 1))]
    for low in range(0, len(pixels_NYXC), rows):
        found.append(model(to_tensor(settings, pixels_NYXC[low : low + rows], model)).float().cpu())
    return torch.cat(found)


def measure(settings: ImageSettings, model: ViT, images: Images) -> dict[str, float]:
    """See `figures`."""
    return figures(scores(settings, model, images.pixels), images)


def figures(logits_NC: Tensor, images: Images) -> dict[str, float]:
    """loss: nats an image. accuracy: the share that is right; calibration_error; both in per cent."""
    classes_N = torch.from_numpy(images.classes)
    accuracy = 100 * float((logits_NC.argmax(1) == classes_N).float().mean())
    error = calibration_error(softmax(logits_NC).numpy(), images.classes)
    return {
        "loss": float(F.cross_entropy(logits_NC, classes_N, ignore_index=UNKNOWN)),
        "accuracy": accuracy,
        "calibration_error": error,
    }
