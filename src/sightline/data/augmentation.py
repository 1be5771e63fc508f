"""Images changed a little each time they are learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from sightline.data.mixing import AUGMENTING, generator


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed: slanted, turned, scaled, moved by up to `shift` pixels, mirrored, blanked.

    Each is slanted by up to `shear` pixels each way for every pixel of height, turned about its middle by up to
    `rotate` degrees each way, and made larger or smaller by up to the share `zoom`. `erase` is the share of images that
    lose a rectangle of up to a fifth of them (Zhong et al. 2020).
    """

    shift: int = 0
    shear: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    erase: float = 0.0

    def __call__(self, pixels_BYXC: np.ndarray, seed: int, epoch: int, batch: int) -> np.ndarray:
        """The images of a batch changed, by random numbers that depend on where the batch stands alone."""
        random = generator(AUGMENTING, seed, epoch, batch)
        count, height, width, _ = pixels_BYXC.shape
        if self.shear or self.rotate or self.zoom:
            angles = np.deg2rad(random.uniform(-self.rotate, self.rotate, count))
            scales = random.uniform(1 - self.zoom, 1 + self.zoom, count)
            slants = random.uniform(-self.shear, self.shear, count) if self.shear else np.zeros(count)
            pixels_BYXC = affine(pixels_BYXC, angles, scales, slants)
        changed = np.zeros_like(pixels_BYXC) if self.shift else pixels_BYXC.copy()
        if self.shift:
            moves = random.integers(-self.shift, self.shift + 1, (count, 2))
            for row, (down, right) in enumerate(moves):
                target = changed[row, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
                target[:] = pixels_BYXC[
                    row, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
                ]
        if self.flip:
            mirrored = random.random(count) < 0.5
            changed[mirrored] = changed[mirrored, :, ::-1]
        for row in np.flatnonzero(random.random(count) < self.erase):
            area, aspect = random.uniform(0.02, 0.2) * height * width, np.exp(random.uniform(-1.2, 1.2))
            high, wide = (min(side, max(1, round(length))) for side, length in
                          ((height, np.sqrt(area * aspect)), (width, np.sqrt(area / aspect))))  # fmt: skip
            top, left = random.integers(height - high + 1), random.integers(width - wide + 1)
            changed[row, top : top + high, left : left + wide] = 0
        return changed


def affine(pixels_BYXC: np.ndarray, angles: np.ndarray, scales: np.ndarray, slants: np.ndarray) -> np.ndarray:
    """Images slanted, then turned about their middle, against the clock, and scaled, bilinear; 0 where nothing was.

    Args:
        pixels_BYXC: bytes. angles: (B) in radians. scales: (B), above 1 larger. slants: (B), how far each row moves to
            the right of the row below it, in pixels.
    """
    count, height, width, channels = pixels_BYXC.shape
    # the map goes from the new image to the old, in halves of the sides: turning needs the ratio of the sides
    cosines, sines = np.cos(angles) / scales, np.sin(angles) / scales
    across, along = cosines + slants * sines, -sines + slants * cosines
    rows = [[across, along * height / width, 0 * angles], [sines * width / height, cosines, 0 * angles]]
    maps_B23 = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy())
    images_BCYX = torch.from_numpy(pixels_BYXC.transpose(0, 3, 1, 2).astype(np.float32))
    grid = F.affine_grid(maps_B23, [count, channels, height, width], align_corners=False)
    found_BCYX = F.grid_sample(images_BCYX, grid, align_corners=False)
    return found_BCYX.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
