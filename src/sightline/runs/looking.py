"""`sightline.look`: a view of what goes on inside a trained run while it reads one input."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.errors import UsageError, nearest
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading
from sightline.runs.loading import load
from sightline.sight import html
from sightline.sight import reading as sight
from sightline.sight.alignment import from_pharaoh
from sightline.sight.kinds import VIEWS, Shown, occlusion_view_html
from sightline.sight.page import write_page
from sightline.sight.pictures import check_format
from sightline.sight.terminal import occlusion_view_text
from sightline.sight.views import OcclusionView, View, ViewOptions, occlusion_view

WIDTH = 120  # cells of a line where the output is no terminal
PAGE = ".html"


@dataclass(frozen=True)
class Looked:
    """What one look has shown. Printed, it is the view as text; a notebook shows it as HTML.

    Attributes:
        what: the name of the view. view: its values, typed; `view.data()` has them as JSON. reading: the input as the
            model reads it. checked: what each output loses without each position, where that was asked for.
    """

    what: str
    view: View
    reading: Reading = field(repr=False)
    checked: OcclusionView | None
    shown: Shown = field(repr=False)

    def text(self, width: int | None = None) -> str:
        """The view as text in lines of so many cells; by default those of the terminal."""
        width = width or shutil.get_terminal_size((WIDTH, 0)).columns
        text = self.shown.text(width)
        return text if self.checked is None else f"{text}\n\n{self._check_text(self.checked, width)}"

    def _check_text(self, checked: OcclusionView, width: int) -> str:
        found = checked.agreement(self.view.output_weights)
        told = (
            "No rank correlation: what is shown is no attention of these outputs to these positions, or too few differ"
            if found is None
            else f"Rank correlation with attention: {found:.2f} (1: what was looked at matters)"
        )
        return f"{occlusion_view_text(checked, width)}\n{told}"

    def data(self) -> object:
        """The numbers as values that JSON has; with a check, the view and the check side by side."""
        data, checked = self.view.data(), self.checked
        if checked is None:
            return data
        return {
            "view": data,
            "occlusion": checked.losses.tolist(),
            "outputs": checked.outputs,
            "positions": checked.positions,
            "taken": checked.occlusion,
            "agreement": checked.agreement(self.view.output_weights),
        }

    def save(self, path: str | Path, title: str = "") -> None:
        """Draws the view to an .svg, .png or .pdf; every head of what is attention to one .html page under a title.

        Raises UsageError for another kind of file, SightlineError where it cannot be written.
        """
        file = Path(path)
        check_picture(file, self.what)
        if file.suffix == PAGE:
            write_page(sight.look(self.reading, "*.weights"), file, title or self.what)
        else:
            self.shown.draw(file)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        parts = [self.shown.html()]
        return html.joined(parts if self.checked is None else [*parts, occlusion_view_html(self.checked)])


def check_picture(file: Path, what: str | None) -> None:
    """Raises UsageError for a file that this view, or any where none is named, is not drawn to."""
    if file.suffix != PAGE:
        check_format(file, f", a page {PAGE}")
    elif what is not None and not VIEWS[what].on_page:
        raise UsageError(f"picture: a page holds attention, not {what}; name an .svg, .png or .pdf")


def check_view(what: str | None, site: str | None, by: str | None, gold: str | None, target: str | None) -> ViewOptions:
    """What is asked of a view, before anything is loaded.

    Raises UsageError where there is no such view, or options do not belong together.
    """
    if what is not None and what not in VIEWS:
        raise UsageError(f'what: there is no "{what}"{nearest(what, VIEWS)}')
    if what != "heads" and (by is not None or gold is not None):
        raise UsageError(f"{'by' if gold is None else 'gold'}: is for heads; ask for them, or leave it out")
    if gold is not None and target is None:
        raise UsageError("gold: links are of a text and a translation; give that as target")
    return ViewOptions(site, by, None if gold is None else from_pharaoh(gold, "gold"))


def read_input(model: Predictor, inputs: tuple[Any, ...], target: str | None = None) -> Reading:
    """One input as the model reads it: what is given, or else an example of its own.

    Raises UsageError where there is none, or they are too few or many, or a target where the model writes none.
    """
    if target is not None and "target" not in model.reading_options:
        raise UsageError(f"target: is for a translation; {model.run.path} is a run of task {model.settings.task}")
    given = inputs or model.example() or model.first_example()
    if given is None:
        raise UsageError(f"{model.run.path}: give what the model is to read")
    if len(given) != model.input_count:
        raise UsageError(f"{len(given)} inputs; the model reads {model.input_count}")
    return model.reading(*given, **({} if target is None else {"target": target}))


def look(
    run: str | Path | Predictor,
    *inputs: Any,
    what: str | None = None,
    site: str | None = None,
    check: bool = False,
    target: str | None = None,
    by: str | None = None,
    gold: str | None = None,
    update: int | None = None,
    device: str = "cpu",
) -> Looked:
    """A view of what goes on inside a model while it reads one input: what `sightline look` shows.

        sightline.look("runs/transformer-ko-en", "나는 학생입니다.", what="heads")

    Args:
        run: a run directory, or a loaded run.
        inputs: what the model reads: a text (two of a pair, question and text), or an image; by default an example that
            the run keeps.
        what: a key of `sightline.sight.kinds.VIEWS`; by default attention, of an image patches.
        site: which attention or layer, by its recorded name; "NAME:3" is one head.
        check: also what each output loses without each position.
        target: of a translation: look while this one is written.
        by: of heads, what ranks them. gold: of heads, the right links of text and target, as "0-0 1-2".
        update, device: of a run directory, as of `sightline.load`.

    Raises UsageError for what cannot be asked of this model.
    """
    options = check_view(what, site, by, gold, target)
    model = run if isinstance(run, Predictor) else load(run, device=device, update=update)
    what = what or (model.default_view if site is None and not check else "attention")
    kind = VIEWS[what]
    if site is not None and not kind.has_sites:
        raise UsageError(f"site: {what} is of the whole model; leave it out")
    reading = read_input(model, inputs, target)
    shown = kind.show(model, reading, options)
    return Looked(what, shown.view, reading, occlusion_view(reading) if check else None, shown)
