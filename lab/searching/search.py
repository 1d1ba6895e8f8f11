"""Coarse, fine, and the winner trained once more: the jobs of each stage, in order, shared with whoever works on the study."""

import time
from dataclasses import dataclass, replace

from gradcheck.errors import UserError
from lab.searching.board import Board, Job
from lab.searching.ranking import Candidate, ranked
from lab.searching.space import coarse_points, fine_points, settings_at
from lab.training.loop import Diverged
from lab.training.run import Run, resolve_settings
from lab.training.stacked import StackedTraining, stacking_key

# Seconds between two looks at what others do.
PATIENCE = 1.0

FINAL_SPLIT = "49000"
STAGES = ("coarse", "fine")


@dataclass(frozen=True)
class SearchPlan:
    """What a search is asked to do. `base` are the Settings of a training, at every point the same but for what is varied."""

    base: object
    space: tuple
    coarse: int = 8
    fine: int = 8
    seeds: int = 1
    sampler: str = "random"
    factors: tuple = ()
    final_cycles: int = 3

    def as_json(self):
        """All that makes the result: not where it is computed, nor where the data lie."""
        base = {name: value for name, value in self.base.trained.items() if name != "verify"}
        rest = {"coarse": self.coarse, "fine": self.fine, "seeds": self.seeds, "sampler": self.sampler}
        rest |= {
            "per_layer": list(self.factors),
            "final_cycles": self.final_cycles,
            "space": [str(each) for each in self.space],
        }
        return {"implementation": self.base.implementation} | base | rest


class Stopped(Exception):
    """Somebody pressed Ctrl-C; what was claimed is given back."""


class Search:
    """`plan`, worked on through the study `name` of `storage`, at `images` on `device`. Raises UserError.

    `stopped()` tells when to end; `changed()` is called whenever there is more to show: `training`, the stacks at work.
    """

    def __init__(self, plan, images, device, storage, name, together, stopped, changed):
        self.plan, self.images, self.device, self.together = plan, images, device, together
        self.stopped, self.changed = stopped, changed
        self.board = Board(storage, name, plan.as_json())
        self.final_board = Board(storage, f"{name}-final", plan.as_json())
        self.parts, self.training, self.waiting, self.fine = None, None, False, None

    def points(self, stage):
        """The points of a stage. Those of the fine one are drawn when the coarse one is finished, and stand in the study."""
        if stage == "coarse":
            return coarse_points(self.plan.space, self.plan.coarse, self.plan.base.seed)
        if self.fine is None:
            tried = [(each.point, each.mean) for each in self.candidates("coarse")]
            p = self.plan
            self.fine = self.board.agreed("fine", lambda: fine_points(p.space, p.fine, p.sampler, tried, p.base.seed))
        return self.fine

    def candidates(self, stage):
        """The candidates of a stage with what they got so far."""
        results = self.board.results()
        return [
            Candidate(stage, point, tuple(results.get(key(stage, k, seed)) for seed in range(self.plan.seeds)))
            for k, point in enumerate(self.points(stage))
        ]

    def known(self):
        """The candidates of all stages that are known. There is no fine one where every coarse candidate diverged."""
        coarse = self.candidates("coarse")
        both = self.plan.fine and all(each.finished for each in coarse) and any(each.mean is not None for each in coarse)
        return coarse + (self.candidates("fine") if both else [])

    def stage(self, stage):
        """Works until every candidate of the stage is finished, by this worker or another."""
        points = {
            key(stage, k, seed): (point, seed) for k, point in enumerate(self.points(stage)) for seed in range(self.plan.seeds)
        }
        settings = {name: self.settings_at(*each) for name, each in points.items()}
        distributions = {each.name: each.distribution() for each in self.plan.space}
        jobs = [Job(name, point, distributions) for name, (point, _) in points.items()]
        do = lambda claimed: self._train({name: settings[name] for name in claimed})  # noqa: E731
        self._work(self.board, jobs, self.together, lambda name: stacking_key(settings[name]), do)

    def settings_at(self, point, seed=0):
        settings = settings_at(self.plan.base, point, self.plan.factors)
        return replace(settings, seed=settings.seed + seed)

    def _work(self, board, jobs, most, alike_of, do):
        """Claims jobs, up to `most` that may train together, and calls `do(claimed) -> [(value, result), ...]`, until
        all are finished.

        What is claimed is given back where this worker is stopped, or fails.
        """
        keys = {job.key for job in jobs}
        with board.alive():
            while not keys <= board.results().keys():
                if self.stopped():
                    raise Stopped
                board.free_lost(keys)
                board.put_up(jobs)
                claimed = board.claim(keys, most, alike_of)
                self.waiting = not claimed
                if not claimed:
                    time.sleep(PATIENCE)
                try:
                    for trial_id, found in zip(claimed.values(), do(claimed) if claimed else (), strict=True):
                        board.finish(trial_id, *found)
                except BaseException:
                    board.give_back(claimed.values())
                    raise
                self.changed()

    def _train(self, settings):
        """Accuracy, or None, and result of each of the settings, a dict by name, trained together. Raises Stopped."""
        try:
            self.training = StackedTraining(list(settings.values()), self.device)
            if self.parts is None:
                self.parts = self.training.to_device(self.images)
            for _ in self.training.train(self.parts, self.changed, self.stopped):
                self.changed()
            if not self.training.ended:
                raise Stopped
            return [(result["val"] and result["val"]["accuracy"], result) for result in self.training.results()]
        finally:
            self.training = None

    def final_settings(self):
        """Those of the winner on more images and for more cycles."""
        settings = self.settings_at(ranked(self.known())[0].point)
        return replace(settings, split=FINAL_SPLIT, cycles=self.plan.final_cycles, images=None, fingerprint=None)

    def final(self, images, folder):
        """The winner, trained in `folder` (a RunFolder) by one of the workers; its test accuracy is what the study keeps.

        `images` are those of the final split. Returns the `result.json`, or {"diverged": a sentence}.
        """
        settings = resolve_settings(self.final_settings(), images)
        self._work(self.final_board, [Job("final", {}, {})], 1, str, lambda claimed: [self._trained(settings, images, folder)])
        return self.final_board.results()["final"]

    def _trained(self, settings, images, folder):
        if not folder.config.exists():
            folder.write_settings(settings)
        elif folder.settings().trained != settings.trained:
            raise UserError(f"{folder.path} holds another run; name another folder with --out")
        if not folder.read_result():
            try:
                for _ in Run(settings, images, folder, self.device).train(lambda lr, loss: self.changed(), self.stopped):
                    pass
            except Diverged as diverged:
                return None, {"diverged": str(diverged)}
        result = folder.read_result()
        if not result:
            raise Stopped
        return result["test"]["accuracy"], result


def key(stage, k, seed):
    return f"{stage}-{k}-seed-{seed}"
