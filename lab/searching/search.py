"""A search as its study has it: which points each stage tries, and what their candidates reached so far."""

from functools import cached_property
from typing import NamedTuple

from optuna.storages import BaseStorage

from lab.searching.board import Board
from lab.searching.plan import SearchPlan
from lab.searching.points import coarse_points, fine_points
from lab.searching.ranking import Candidate, ranked
from lab.searching.space import Point
from lab.training.settings import Settings


class CandidateTraining(NamedTuple):
    """A training of a stage: the key of its job, its point, and what both mean for a run."""

    key: str
    point: Point
    settings: Settings


class Search:
    """`plan`, worked on through the study `name` of `storage`, and a study `NAME-final` for the last training.

    All that its methods return comes from the studies, so that every worker sees the same search. Raises UserError as Board
    does.
    """

    def __init__(self, plan: SearchPlan, storage: BaseStorage, name: str) -> None:
        self.plan, self.name = plan, name
        self.board = Board(storage, name, plan.as_json())
        self.final_board = Board(storage, f"{name}-final", plan.as_json())

    def points(self, stage: str) -> list[Point]:
        return self._coarse_points if stage == "coarse" else self._fine_points

    @cached_property
    def _coarse_points(self) -> list[Point]:
        return coarse_points(self.plan.space, self.plan.coarse, self.plan.base.seed)

    @cached_property
    def _fine_points(self) -> list[Point]:
        """Drawn when the coarse stage is finished; the study keeps them, so that all workers have the same."""
        plan = self.plan
        tried = [(each.point, each.mean) for each in self.candidates("coarse")]
        return self.board.agree("fine", lambda: fine_points(plan.space, plan.fine, plan.sampler, tried, plan.base.seed))

    def candidates(self, stage: str) -> list[Candidate]:
        """The candidates of a stage, with the results that they have so far."""
        results = self.board.results()
        return [
            Candidate(stage, point, tuple(results.get(job_key(stage, k, seed)) for seed in range(self.plan.seeds)))
            for k, point in enumerate(self.points(stage))
        ]

    def known_candidates(self) -> list[Candidate]:
        """The candidates of both stages; those of the fine one once the coarse one is finished, unless all of it diverged."""
        coarse = self.candidates("coarse")
        has_fine = self.plan.fine and all(each.finished for each in coarse) and any(each.mean is not None for each in coarse)
        return coarse + (self.candidates("fine") if has_fine else [])

    @property
    def finished(self) -> bool:
        """Whether every candidate that is known is finished; the last training may still be to come."""
        return all(each.finished for each in self.known_candidates())

    def winner(self) -> Candidate | None:
        """The best of the finished candidates, None where there is none that did not diverge."""
        return next((each for each in ranked(self.known_candidates()) if each.mean is not None), None)

    def trainings(self, stage: str) -> list[CandidateTraining]:
        """All trainings of a stage: each of its points with each seed."""
        return [
            CandidateTraining(job_key(stage, k, seed), point, self.plan.settings_at(point, seed))
            for k, point in enumerate(self.points(stage))
            for seed in range(self.plan.seeds)
        ]


def job_key(stage: str, k: int, seed: int) -> str:
    """The key of the job that trains candidate `k` of a stage with the seed number `seed` of its seeds."""
    return f"{stage}-{k}-seed-{seed}"
