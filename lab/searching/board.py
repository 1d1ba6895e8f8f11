"""The board of a search: its jobs, kept in an Optuna study, where every process that names the same study takes some of them.

A job is a trial of Optuna with a key. It is posted (WAITING), claimed by a worker (RUNNING) and finished (COMPLETE, or PRUNED
if it diverged); a trial that was given up is a FAIL, and its job is posted again. Two workers may post the same job at the same
moment: of the trials with one key that have not failed, the one with the lowest number holds it. All workers follow that rule.
"""

import json
import uuid
from collections.abc import Callable, Collection, Hashable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from gradcheck.errors import UserError
from lab.searching.heartbeat import Watch, attribute, beating
from lab.searching.space import Point
from lab.searching.storage import translate_errors

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Job(NamedTuple):
    """What is to be done. `key` names it; `point` and the distributions of its dimensions are what Optuna shows of it."""

    key: str
    point: Point
    distributions: dict[str, BaseDistribution]


class JobOutcome(NamedTuple):
    """What a job ended with: the accuracy that ranks it, None if it diverged, and the whole result, a dict for JSON."""

    accuracy: float | None
    result: dict[str, Any]


class Board:
    """The jobs of the study `name` in `storage`, for one worker; the study is created if it is not there.

    `settings`, a dict for JSON, is all that makes the results. Raises UserError where the study was made with other settings,
    or not by a Board; any method raises UserError where the storage can't be read or written.
    """

    def __init__(self, storage: BaseStorage, name: str, settings: dict[str, Any]) -> None:
        self.storage, self.name = storage, name
        with translate_errors(name):
            self.study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
            self.study_id = storage.get_study_id_from_name(name)
        self._check_settings(settings)
        self.worker = uuid.uuid4().hex[:12]
        self._watch = Watch()

    def _check_settings(self, settings: dict[str, Any]) -> None:
        trials = self._trials()
        if trials and not any("settings" in trial.user_attrs for trial in trials):
            raise UserError(f"the study {self.name} was not made by search.py; name another with --study")
        text = json.dumps(settings, sort_keys=True)
        agreed = self.agree("settings", lambda: text)
        if agreed != text:
            before, now = json.loads(agreed), json.loads(text)
            other = next(key for key in sorted(before.keys() | now.keys()) if before.get(key, ...) != now.get(key, ...))
            raise UserError(
                f"the study {self.name} was made with other settings: {other} was {before.get(other)}, now {now.get(other)}; "
                "name another with --study"
            )

    def agree(self, name: str, propose: Callable[[], Any]) -> Any:
        """What all workers take for `name`: what the first of them proposed, in a trial that serves for nothing else."""
        proposals = self._proposals(name)
        if not proposals:
            with translate_errors(self.name):
                self.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={name: propose()}))
            proposals = self._proposals(name)  # another worker may have been faster
        return min(proposals, key=lambda trial: trial.number).user_attrs[name]

    def _proposals(self, name: str) -> list[FrozenTrial]:
        return [trial for trial in self._trials() if name in trial.user_attrs]

    def heartbeat(self) -> AbstractContextManager[None]:
        """A context in which this worker gives signs of life."""
        return beating(self.study, self.worker)

    def holders(self) -> dict[str, FrozenTrial]:
        """The trial that holds each job, by key."""
        return holders_among(self._trials())

    def results(self) -> dict[str, dict[str, Any]]:
        """The result of each finished job, by key."""
        return {key: trial.user_attrs["result"] for key, trial in self.holders().items() if trial.state in FINISHED}

    def post(self, jobs: Iterable[Job]) -> None:
        """Posts every job that no trial holds."""
        held = self.holders()
        for job in jobs:
            if job.key not in held:
                trial = create_trial(
                    state=TrialState.WAITING,
                    params=job.point,
                    distributions=job.distributions,
                    user_attrs={"key": job.key},
                )
                with translate_errors(self.name):
                    self.study.add_trial(trial)

    def claim(self, keys: Collection[str], most: int, group: Callable[[str], Hashable]) -> dict[str, int]:
        """Claims up to `most` of the waiting jobs of `keys`, all of the group that the first of them is in.

        `group(key)` is equal for jobs that can be done together. Returns {key: trial id}.
        """
        trials = self._trials()
        holders, claimed = holders_among(trials), dict[str, int]()
        groups = set[Hashable]()
        for trial in trials:
            key = trial.user_attrs.get("key", "")
            if key not in keys or trial.state != TrialState.WAITING:
                continue
            if holders[key].number != trial.number:  # posted twice
                self._set_state(id_of(trial), TrialState.FAIL)
            elif len(claimed) < most and groups <= {group(key)} and self._set_state(id_of(trial), TrialState.RUNNING):
                groups.add(group(key))
                claimed[key] = id_of(trial)
                with translate_errors(self.name):
                    self.storage.set_trial_user_attr(id_of(trial), "worker", self.worker)
        return claimed

    def finish(self, trial_id: int, outcome: JobOutcome) -> None:
        """Keeps the outcome of a claimed job, unless another worker has taken the job since."""
        state = TrialState.PRUNED if outcome.accuracy is None else TrialState.COMPLETE
        values = None if outcome.accuracy is None else [outcome.accuracy]
        with translate_errors(self.name), suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, "result", outcome.result)
            self.storage.set_trial_state_values(trial_id, state, values)

    def release(self, trial_ids: Iterable[int]) -> None:
        """Gives up claimed jobs, those that are not finished, for any worker to take."""
        for trial_id in trial_ids:
            self._set_state(trial_id, TrialState.FAIL)

    def release_lost(self, keys: Collection[str]) -> list[str]:
        """Gives up those jobs of `keys` whose workers are lost. Returns their keys."""
        with translate_errors(self.name):
            signs = self.study.user_attrs
        released = []
        for trial in self._trials((TrialState.RUNNING,)):
            key, worker = trial.user_attrs.get("key", ""), trial.user_attrs.get("worker", "")
            sign = signs.get(attribute(worker))
            if key in keys and worker != self.worker and self._watch.is_lost(trial.number, sign):
                self._set_state(id_of(trial), TrialState.FAIL)
                released.append(key)
        return released

    def _set_state(self, trial_id: int, state: TrialState) -> bool:
        """Whether this worker, and no other one before it, changed the trial to `state`."""
        with translate_errors(self.name), suppress(UpdateFinishedTrialError):
            return self.storage.set_trial_state_values(trial_id, state)
        return False

    def _trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        with translate_errors(self.name):
            return self.storage.get_all_trials(self.study_id, deepcopy=False, states=states)


def holders_among(trials: Iterable[FrozenTrial]) -> dict[str, FrozenTrial]:
    """The trial that holds each job, by key: see the top of this file."""
    holders: dict[str, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state != TrialState.FAIL and "key" in trial.user_attrs:
            holders.setdefault(trial.user_attrs["key"], trial)
    return holders


def id_of(trial: FrozenTrial) -> int:
    """The id of a trial in its storage, which Optuna's storages take but its trials have under a private name alone."""
    return trial._trial_id
