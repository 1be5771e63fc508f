"""Pictures of what a classifier's scores are made of, as narrow as a phone: its confusions, and how reliable it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.predict.metrics import ConfidenceBin, binned_error
from sightline.sight.pictures import BLUE, GREY, ORANGE, frame, label_axes, new_figure, save, shortened

_WIDTH = 3.4  # inches: 326 pixels, which a page 360 wide shows nearly as they are
_CELL = 0.26
_FEW = 8  # classes, beside whose names there is room
_LONGEST_NAME = 12


def confusion_picture(counts_CC: np.ndarray, names: Sequence[str], path: Path) -> None:
    """The confusion matrix: labels down, predictions across, in per cent of each label; what is right has a frame.

    A row of a label that no record has is empty. A share that rounds to nothing but is some is "<1".
    """
    total_C1 = counts_CC.sum(1, keepdims=True)
    shares_CC = np.divide(100.0 * counts_CC, total_C1, out=np.zeros(counts_CC.shape), where=total_C1 > 0)
    shown = [shortened(name, _LONGEST_NAME) for name in names]
    side = max(_WIDTH, 0.9 + _CELL * len(names))
    figure, (panel,) = new_figure(side, side)
    panel.imshow(shares_CC, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, shares in enumerate(shares_CC):
        for column, share in enumerate(shares.tolist()):
            if counts_CC[row, column]:
                text = f"{share:.0f}" if share >= 0.5 else "<1"
                ink = "white" if share > 55 else "black"
                panel.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
        panel.plot([row - 0.5, row + 0.5, row + 0.5, row - 0.5, row - 0.5],
                   [row - 0.5, row - 0.5, row + 0.5, row + 0.5, row - 0.5],
                   color=ORANGE, linewidth=1)  # fmt: skip
    panel.set_xticks(range(len(names)), labels=shown, rotation=60, ha="left", rotation_mode="anchor", fontsize=8)
    labels = [f"{name} ({int(count):,})" for name, count in zip(shown, total_C1[:, 0], strict=True)]
    few = len(names) <= _FEW
    panel.set_yticks(range(len(names)), labels=labels if few else shown, fontsize=8)
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.tick_params(length=0)
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.set_ylim(len(names) - 0.4, -0.6)
    frame(panel)
    label_axes(figure, panel, "prediction, in % of the label", "label (how many)" if few else "label")
    save(figure, path)


def reliability_picture(bins: Sequence[ConfidenceBin], unit: str, path: Path) -> None:
    """The reliability diagram of Guo et al. 2017: how often each bin of confidence is right, beside what would be as
    sure as it is right, with the gap between them; below, how many records each bin has."""
    figure, (above, below) = new_figure(_WIDTH, 4.2, 2, 1, heights=(3, 1))
    left, width = [100 * one.low for one in bins], [100 * (one.high - one.low) for one in bins]
    counts, sure, right = ([getattr(one, name) for one in bins] for name in ("count", "confidence", "accuracy"))
    above.bar(left, right, width, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE, linewidth=0.8)
    above.vlines(sure, sure, right, color=ORANGE, linewidth=1.6)
    above.plot(sure, right, "o", color=BLUE, markersize=3.5)
    above.plot([0, 100], [0, 100], color="#555555", linestyle="--", linewidth=1)
    above.text(3, 96, f"expected calibration\nerror {binned_error(bins):.1f} %", va="top", fontsize=8)
    about = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True, "fontsize": 7}
    above.text(24, 26, "as sure as it is right", color="#555555", **about)
    below.bar(left, counts, width, align="edge", color=GREY, edgecolor="white", linewidth=0.8)
    for at, size, count in zip(left, width, counts, strict=True):
        below.text(at + size / 2, count, f" {count:,}", rotation=90, ha="center", va="bottom", fontsize=6.5)
    below.set_ylim(0, 1.9 * max(counts))
    below.set_yticks([])
    for panel in (above, below):
        panel.set_xlim(0, 100)
        panel.tick_params(labelsize=8)
        frame(panel)
    above.set_ylim(0, 100)
    above.set_xticklabels([])
    label_axes(figure, above, ylabel="accuracy, %")
    label_axes(figure, below, "probability of what is told, %", unit)
    save(figure, path)
