"""A trained classifier of images, ready for use: images in, classes out, and what the class token looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch

from sightline.data.pixels import fitted, open_image
from sightline.decode import log_probabilities
from sightline.decode.probabilities import softmax
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr
from sightline.predict.patches import PatchAttention, patch_attention
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, Side, over_positions
from sightline.sight import html
from sightline.tasks.image_classification.settings import ImageSettings
from sightline.tasks.image_classification.task import make_model, read, read_labelled, scores, to_tensor

Image = str | Path | np.ndarray


@dataclass(frozen=True, repr=False)
class ImagePrediction(BriefRepr):
    """What a model says of one image: its likeliest class, and the probability of every class."""

    label: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """Of the label."""
        return self.probabilities[self.label]

    def _repr_html_(self) -> str:
        return html.prediction(self.label, self.probabilities)


class ImageClassifier(Predictor[ImageSettings]):
    """Tells the classes of images with the weights of a run. See `Predictor` for the arguments."""

    schema = ImageSettings
    make_model = staticmethod(make_model)
    default_view = "patches"

    @property
    def reads_images(self) -> bool:
        """An input is an image."""
        return True

    def validation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The scores (N, C) of the run's validation images, and their classes (N)."""
        files: Any = self.settings.data.validation
        images = read_labelled(self.settings, files)
        return scores(self.settings, self.model, images.pixels), torch.from_numpy(images.classes)

    @overload
    def predict(self, images: Image) -> ImagePrediction: ...

    @overload
    def predict(self, images: Sequence[Image]) -> list[ImagePrediction]: ...

    def predict(self, images: Image | Sequence[Image]) -> ImagePrediction | list[ImagePrediction]:
        """The class of each image, or of one: a file, or an array (Y, X) or (Y, X, C) of bytes.

        Images of another size are scaled; see `sightline.data.pixels.fitted`. Raises DataError for what is no image.
        """
        if isinstance(images, str | Path | np.ndarray):
            return self.predict([images])[0]
        pixels = [self.pixels(one) for one in images]
        if not pixels:
            return []
        found: list[ImagePrediction] = []
        probabilities_NC = cast(
            "list[list[float]]", softmax(scores(self.settings, self.model, np.stack(pixels))).tolist()
        )
        for probabilities in probabilities_NC:
            named = dict(zip(self.settings.data.classes, probabilities, strict=True))
            found.append(ImagePrediction(max(named, key=lambda name: named[name]), named))
        return found

    def attention(self, image: Image) -> PatchAttention:
        """What the class token looked at in one image."""
        return patch_attention(self.reading(image))

    def first_of(self, files: Any) -> list[Any]:
        """The first image of these files."""
        return [read(self.settings, files).pixels[0]]

    @torch.no_grad()
    def reading(self, image: Image) -> Reading:
        """An image as the model reads it, patch by patch, row by row; its output is its class's log-probability.

        A patch that is taken out becomes the mean of all images.
        """
        pixels, sizes = self.pixels(image), self.settings.model
        images_1CYX = to_tensor(self.settings, pixels[None], self.model)

        def all_of(images_1CYX: torch.Tensor, ctx: PassContext) -> torch.Tensor:
            return log_probabilities(self.model(images_1CYX, ctx=ctx)[0]).cpu()

        best = int(all_of(images_1CYX, PassContext()).argmax())

        def change(images_1CYX: torch.Tensor, place: int) -> torch.Tensor:
            changed = images_1CYX.clone()
            if place:  # the first position is the class token's
                row, column = (sizes.patch_size * index for index in divmod(place - 1, sizes.side))
                changed[:, :, row : row + sizes.patch_size, column : column + sizes.patch_size] = 0
            return changed

        names = ["[CLS]", *(f"{row + 1},{column + 1}" for row in range(sizes.side) for column in range(sizes.side))]
        return over_positions(
            images_1CYX,
            Side.of(names),
            lambda images_1CYX, ctx: all_of(images_1CYX, ctx)[best : best + 1],
            [self.settings.data.classes[best]],
            change,
            "greyed",
            pixels,
            attention_sites=self.model.attention_sites,
            residual=sizes.residual,
        )

    def pixels(self, image: Image) -> np.ndarray:
        """An image as the model reads it, (Y, X, C) bytes. Raises DataError for what is no image."""
        array = image if isinstance(image, np.ndarray) else open_image(image)
        sizes = self.settings.model
        return fitted(array, sizes.image_size, sizes.channels, self.settings.data.fit)
