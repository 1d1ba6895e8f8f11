"""A worker of a search: takes jobs from its board, trains them together, and keeps what they ended with."""

import time
from collections.abc import Callable, Hashable
from typing import Any

from gradcheck.errors import UserError
from lab.data.parts import Data
from lab.searching.board import Board, Job, JobOutcome
from lab.searching.points import distribution
from lab.searching.search import Search
from lab.searching.space import Point
from lab.training.device_data import DeviceData
from lab.training.loop import Diverged
from lab.training.run import Run, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings
from lab.training.stacked import StackedTraining, stacking_key

# Seconds between two looks at what the other workers do.
PATIENCE = 1.0


class Stopped(Exception):
    """The worker was told to stop; the jobs that it had claimed are released."""


class SearchWorker:
    """The share that this process takes of `search`: up to `most` trainings at once, at `images` on `device`.

    `stopped()` is asked after every update: once it is true, the jobs at hand are released and Stopped is raised.
    `report(progress)` is called whenever there is more to show, with a few words on what goes on.
    """

    def __init__(
        self,
        search: Search,
        images: Data,
        device: str,
        most: int,
        stopped: Callable[[], bool],
        report: Callable[[str], None],
    ) -> None:
        self.search, self.images, self.device, self.most = search, images, device, most
        self.stopped, self.report = stopped, report
        self._data: dict[str, DeviceData] | None = None

    def run_stage(self, stage: str) -> None:
        """Works until every training of the stage is finished, by this worker or another one."""
        trainings = self.search.trainings(stage)
        settings = {each.key: each.settings for each in trainings}
        distributions = {each.name: distribution(each, each.low, each.high) for each in self.search.plan.space}
        jobs = [Job(each.key, each.point, distributions) for each in trainings]

        def train(keys: list[str]) -> list[JobOutcome]:
            return self._train_stack([settings[key] for key in keys])

        self._work(self.search.board, jobs, self.most, lambda key: stacking_key(settings[key]), train)

    def run_final(self, point: Point, folder: RunFolder) -> dict[str, Any]:
        """Trains the winner, the candidate at `point`, for longer: in `folder`, if no other worker does it.

        Returns its `result.json`, or {"diverged": a sentence}; the study ranks it by its test accuracy.
        """
        settings = self.search.plan.final_settings_at(point)
        images = load_images(settings)
        settings = resolve_settings(settings, images)
        board, job = self.search.final_board, Job("final", {}, {})
        self._work(board, [job], 1, lambda key: key, lambda keys: [self._train_final(settings, images, folder)])
        return board.results()[job.key]

    def _work(
        self,
        board: Board,
        jobs: list[Job],
        most: int,
        group: Callable[[str], Hashable],
        train: Callable[[list[str]], list[JobOutcome]],
    ) -> None:
        """Claims jobs, up to `most` of one group, and keeps what `train(keys)` returns for them, until all are finished.

        What is claimed is released where this worker is stopped, or fails.
        """
        keys = {job.key for job in jobs}
        with board.heartbeat():
            while not keys <= board.results().keys():
                if self.stopped():
                    raise Stopped
                board.release_lost(keys)
                board.post(jobs)
                claimed = board.claim(keys, most, group)
                if not claimed:
                    self.report("others are at work")
                    time.sleep(PATIENCE)
                    continue
                try:
                    for trial_id, outcome in zip(claimed.values(), train(list(claimed)), strict=True):
                        board.finish(trial_id, outcome)
                except BaseException:
                    board.release(claimed.values())
                    raise

    def _train_stack(self, candidates: list[Settings]) -> list[JobOutcome]:
        """The outcome of each of the settings, which have one stacking key. Raises Stopped."""
        training = StackedTraining(candidates, self.device)
        if self._data is None:
            self._data = training.to_device(self.images)

        def report() -> None:
            self.report(f"{len(candidates)} at update {training.update:,} of {training.plan.updates:,}")

        for _ in training.train(self._data, report, self.stopped):
            pass
        if not training.ended:
            raise Stopped
        return [JobOutcome(result["val"] and result["val"]["accuracy"], result) for result in training.results()]

    def _train_final(self, settings: Settings, images: Data, folder: RunFolder) -> JobOutcome:
        """The outcome of the last training, which goes on where it stopped. Raises Stopped; UserError where it can't be run."""
        if not folder.config.exists():
            folder.write_settings(settings)
        elif folder.settings().trained != settings.trained:
            raise UserError(f"{folder.path} holds another run; name another folder with --out")
        if not folder.read_result():
            run = Run(settings, images, folder, self.device)
            try:
                for _ in run.train(lambda lr, loss: self.report("the winner is training"), self.stopped):
                    pass
            except Diverged as diverged:
                return JobOutcome(None, {"diverged": str(diverged)})
        result = folder.read_result()
        if not result:
            raise Stopped
        return JobOutcome(result["test"]["accuracy"], result)
