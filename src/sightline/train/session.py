"""All that a training run is at one instant, and its way to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torch import Tensor

from sightline.data.batches import DataPosition
from sightline.train import storage
from sightline.train.averaging import MovingAverage, swap_weights
from sightline.train.checkpoint import AVERAGE, CARRIED, GENERATORS, OPTIMIZER, WEIGHTS, Checkpoint, Checkpoints
from sightline.train.display import Standing
from sightline.train.identity import IDENTITY, Identity
from sightline.train.log import TrainLog
from sightline.train.optim import DECAY_RULES, MasterOptimizer
from sightline.train.progress import Progress
from sightline.train.randomness import Randomness
from sightline.train.settings import TrainSettings
from sightline.train.task import Batch, Task

DECAY = "decay"  # a key of `state.json` beside those of `Progress`; checkpoints of the first version have none


class Session:
    """Weights, optimizer, moving average, random state and progress, as new or from the newest good checkpoint."""

    def __init__(
        self, task: Task[Batch], settings: TrainSettings, run_dir: Path, log: TrainLog, identity: Identity | None = None
    ) -> None:
        """Raises CheckpointError where no checkpoint can be read, or it belongs to another model or `identity`."""
        model = task.model
        self._task, self._model, self._settings, self._log = task, model, settings, log
        self._directory = storage.Presence(run_dir)
        self._checkpoints = Checkpoints(run_dir, settings.keep, log.message)
        self._checkpoints.remove_leftovers()
        found = self._checkpoints.latest()
        state = {DECAY: "matrices"} if found is None else found.state()
        self._decay = str(state.get(DECAY, "names"))
        self._identity = identity
        self.optimizer = MasterOptimizer(
            model,
            rule=settings.optimizer,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            decays=DECAY_RULES[self._decay],
        )
        self.randomness = Randomness(settings.seed, self.optimizer.device)
        self.average = MovingAverage(self.optimizer.masters, settings.ema) if settings.ema else None
        self.progress = Progress(DataPosition(settings.seed, 0, 0))
        self._fresh = found is None
        if found is not None:
            self._load(found, state)
        self._begun: tuple[float, float] | None = None
        log.resume(self.progress.update)

    def require_directory(self) -> None:
        """Raises SightlineError where the run directory has been removed meanwhile; nothing is written then."""
        self._directory.require()

    def weights(self) -> dict[str, Tensor]:
        """Every parameter, as its fp32 master where it has one, and every persistent buffer, by name. Not copies."""
        detached = {name: tensor.detach() for name, tensor in storage.persistent_tensors(self._model).items()}
        return {**detached, **self.optimizer.masters}

    def average_weights(self, update: int) -> None:
        if self.average is not None:
            self.average.update(self.optimizer.masters, update)

    def stop_reason(self) -> str | None:
        """Why there is nothing more to do: a limit, or what a callback said; None while there is."""
        return self.progress.stop_reason(self._settings) or self._log.callbacks.stop_reason

    def is_periodic(self, update: int) -> bool:
        """Whether a checkpoint is due after this update whatever happens."""
        return update % self._settings.save_every == 0

    def standing(self) -> Standing:
        """How far it is."""
        progress, settings = self.progress, self._settings
        return Standing(progress.updates_of_all(settings), progress.fraction(settings), self.seconds_left())

    def seconds_left(self) -> float | None:
        """At the speed since this process began: the machine may have been busier, or another, before."""
        done = self.progress.fraction(self._settings)
        if done is None:
            return None
        if self._begun is None:
            # a run that is told about for the first time has come here from nothing, or goes on from what it was
            self._begun = (0.0, 0.0) if self._fresh else (done, self.progress.seconds)
        begun, seconds = self._begun
        return (self.progress.seconds - seconds) * (1 - done) / (done - begun) if done > begun else None

    @contextmanager
    def validating(self) -> Generator[None, None, None]:
        """Inside, the model has the averaged weights where there are such; afterwards training is as it was."""
        with ExitStack() as stack:
            stack.enter_context(self.randomness.preserved())
            if self.average is not None:
                stack.enter_context(swap_weights(self.average.tensors, self._model))
            yield

    def save(self) -> None:
        """Writes a checkpoint, then removes those that are no longer needed."""
        update = self.progress.update
        tensors = {
            WEIGHTS: self.weights(),
            OPTIMIZER: self.optimizer.state_dict(),
            GENERATORS: self.randomness.state_dict(),
        }
        if self.average is not None:
            tensors[AVERAGE] = self.average.tensors
        if carried := self._task.carried_state():
            tensors[CARRIED] = carried
        identity = {} if self._identity is None else {IDENTITY: self._identity.to_json()}
        self._directory.require()
        saved = self._checkpoints.save(update, tensors, {**self.progress.to_json(), DECAY: self._decay, **identity})
        if not self._directory.there:  # removed while this was written: it is all that is left
            self._checkpoints.remove()
        self._directory.require()
        protected = [] if self.progress.best_update is None else [self.progress.best_update]
        self._checkpoints.prune(update, self.is_periodic, protected)
        self._log.saved(update, saved.path)

    def _load(self, checkpoint: Checkpoint, state: Mapping[str, object]) -> None:
        self.progress = Progress.from_json(state, str(checkpoint.path))
        self._require_identity(checkpoint, state)
        storage.copy_tensors(checkpoint.tensors(WEIGHTS), self.weights(), checkpoint.file(WEIGHTS))
        self.optimizer.copy_masters_to_parameters()
        self.optimizer.load_state_dict(checkpoint.tensors(OPTIMIZER), str(checkpoint.file(OPTIMIZER)))
        if self.average is not None:
            storage.copy_tensors(checkpoint.tensors(AVERAGE), self.average.tensors, checkpoint.file(AVERAGE))
        generators = checkpoint.tensors(GENERATORS)
        self.randomness.load_state_dict(generators, str(checkpoint.file(GENERATORS)))
        if checkpoint.has(CARRIED):
            self._task.load_carried_state(checkpoint.tensors(CARRIED))
        self._log.message(f"going on from {checkpoint.path}")

    def _require_identity(self, checkpoint: Checkpoint, state: Mapping[str, object]) -> None:
        where = str(checkpoint.path)
        made_with = Identity.of_state(state, where)
        if self._identity is not None and made_with is not None:
            made_with.require_same(self._identity, where)
