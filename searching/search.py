"""Coarse, fine, and the winner trained once more: the jobs of each stage, in order, shared with whoever works on the study."""

import time
from dataclasses import dataclass, replace

from errors import UserError
from searching.board import Board, Job, told
from searching.ranking import Candidate, ranked
from searching.space import coarse_points, fine_points, settings_at
from searching.together import Together, alike
from training.run import Run, fitted

# Seconds between two looks at what others do.
PATIENCE = 1.0

FINAL_SPLIT = "49000"
STAGES = ("coarse", "fine")


@dataclass(frozen=True)
class Plan:
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
        self.parts, self.training, self.waiting = {}, None, False
        self.storage, self.name = storage, name

    def points(self, stage):
        """The points of a stage; those of the fine one are known when the coarse one is finished."""
        if stage == "coarse":
            return coarse_points(self.plan.space, self.plan.coarse, self.plan.base.seed)
        tried = [(each.point, each.mean) for each in self.candidates("coarse")]
        if not any(mean is not None for _, mean in tried):
            raise UserError("every candidate of the coarse round diverged; take a smaller lr_max or lambda")
        return fine_points(self.plan.space, self.plan.fine, self.plan.sampler, tried, self.plan.base.seed)

    def candidates(self, stage):
        """The candidates of a stage with what they got so far."""
        results = self.board.results()
        return [
            Candidate(stage, point, tuple(results.get(key(stage, k, seed)) for seed in range(self.plan.seeds)))
            for k, point in enumerate(self.points(stage))
        ]

    def known(self):
        """The candidates of all stages that are known."""
        coarse = self.candidates("coarse")
        both = self.plan.fine and all(each.finished for each in coarse)
        return coarse + (self.candidates("fine") if both else [])

    def stage(self, stage):
        """Works until every candidate of the stage is finished, by this worker or another."""
        settings = {
            key(stage, k, seed): replace(settings_at(self.plan.base, point, self.plan.factors), seed=self.plan.base.seed + seed)
            for k, point in enumerate(self.points(stage))
            for seed in range(self.plan.seeds)
        }
        distributions = {each.name: each.distribution() for each in self.plan.space}
        points = self.points(stage)
        jobs = [Job(name, points[int(name.split("-")[1])], distributions) for name in settings]
        with self.board.alive(), told(self.name):
            while not settings.keys() <= self.board.results().keys():
                if self.stopped():
                    raise Stopped
                self.board.free_lost(settings)
                self.board.put_up(jobs)
                claimed = self.board.claim(settings, self.together, lambda name: alike(settings[name]))
                self.waiting = not claimed
                if claimed:
                    self._train({name: settings[name] for name in claimed}, claimed)
                else:
                    time.sleep(PATIENCE)
                self.changed()

    def _train(self, settings, claimed):
        """The claimed jobs, together; given back where this worker is stopped, or fails."""
        try:
            self.training = Together(list(settings.values()), self.device)
            dtype = next(iter(settings.values())).dtype
            if dtype not in self.parts:
                self.parts[dtype] = self.training.place(self.images)
            for _ in self.training.train(self.parts[dtype], self.changed, self.stopped):
                self.changed()
            if self.stopped():
                raise Stopped
            for name, result in zip(settings, self.training.results(), strict=True):
                value = result["val"] and result["val"]["accuracy"]
                self.board.finish(claimed[name], value, result)
        except BaseException:
            self.board.give_back(claimed.values())
            raise
        finally:
            self.training = None

    def winner(self):
        """The best candidate of all. Raises UserError where every one diverged."""
        best = ranked(self.known())[0]
        if best.mean is None:
            raise UserError("every candidate diverged; take a smaller lr_max or lambda")
        return best

    def final_settings(self):
        """Those of the winner on more images and for more cycles."""
        settings = settings_at(self.plan.base, self.winner().point, self.plan.factors)
        return replace(settings, split=FINAL_SPLIT, cycles=self.plan.final_cycles, images=None, fingerprint=None)

    def final(self, images, folder, advance):
        """The winner, trained in `folder` (a RunFolder) by one of the workers; its test accuracy is what the study keeps.

        `images` are those of the final split. Returns the `result.json`.
        """
        board = Board(self.storage, f"{self.name}-final", self.plan.as_json())
        settings = fitted(self.final_settings(), images)
        job = Job("final", {}, {})
        with board.alive(), told(self.name):
            while "final" not in board.results():
                if self.stopped():
                    raise Stopped
                board.free_lost({"final"})
                board.put_up([job])
                claimed = board.claim({"final"}, 1, lambda name: name)
                self.waiting = not claimed
                if claimed:
                    result = self._trained(settings, images, folder, advance, claimed["final"], board)
                    board.finish(claimed["final"], result["test"]["accuracy"], result)
                else:
                    time.sleep(PATIENCE)
                self.changed()
        return board.results()["final"]

    def _trained(self, settings, images, folder, advance, trial_id, board):
        try:
            if not folder.config.exists():
                folder.write_settings(settings)
            elif folder.settings().trained != settings.trained:
                raise UserError(f"{folder.path} holds another run; name another folder with --out")
            if not folder.read_result():
                for _ in Run(settings, images, folder, self.device).train(advance, self.stopped):
                    pass
            if not folder.read_result():
                raise Stopped
            return folder.read_result()
        except BaseException:
            board.give_back([trial_id])
            raise


def key(stage, k, seed):
    return f"{stage}-{k}-seed-{seed}"
