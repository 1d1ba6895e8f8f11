"""The work of a search, kept in an Optuna study: whoever names the same storage and study takes a share of it.

A job is a trial with a key. Of trials with one key, the one with the lowest number that has not failed holds it; that rule,
which all workers share, makes a job that two of them put up at once still one job. A worker's sign of life is a number that
it counts up in the study: no clocks are compared, and any storage will do.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from gradcheck.errors import UserError

# Seconds between two signs of life, and after how many without one a worker is lost.
BEAT, LOST_AFTER = 5.0, 60.0

# Tries to open a database that others open for the first time, too.
ATTEMPTS = 6

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STORAGE_ERRORS = (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, RuntimeError, ValueError)


class Job(NamedTuple):
    """What is to be done: `key` names it, `params` and `distributions` are Optuna's."""

    key: str
    params: dict
    distributions: dict


def open_storage(url):
    """Optuna's storage of a database URL, or of a journal file, `journal:FILE`. Raises UserError where it can't be reached."""
    try:
        if url.startswith("journal:"):
            backend = optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:"))
            return optuna.storages.JournalStorage(backend)
        return open_sqlite(url) if url.startswith("sqlite:///") else optuna.storages.RDBStorage(url)
    except STORAGE_ERRORS as error:
        reason = " ".join(str(error).split("(Background")[0].split()) or type(error).__name__
        raise UserError(f"--storage {url} can't be opened: {reason[:200]}; name another, as sqlite:///study.db") from error


def open_sqlite(url):
    """SQLite locks nothing when it reads: each transaction takes the lock at its beginning, or two workers claim one job."""
    for attempt in range(ATTEMPTS):
        try:
            storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
            break
        except SQLAlchemyError as error:  # another makes the same tables at this moment
            if attempt == ATTEMPTS - 1 or not any(word in str(error) for word in ("already exists", "UNIQUE", "locked")):
                raise
            time.sleep(0.1 * 2**attempt)
    event.listen(storage.engine, "connect", lambda connection, record: setattr(connection, "isolation_level", None))
    event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    storage.engine.dispose()  # connections that do not know it yet
    return storage


class Board:
    """The jobs of the study `name`, made by `settings`, a dict for JSON. Raises UserError where it was made by others."""

    def __init__(self, storage, name, settings):
        self.storage, self.name, text = storage, name, json.dumps(settings, sort_keys=True)
        with translate_errors(name):
            self.study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
            self.study_id = storage.get_study_id_from_name(name)
        trials = self._trials()
        if trials and not any("settings" in trial.user_attrs for trial in trials):
            raise UserError(f"the study {name} was not made by search.py; name another with --study")
        self._check(self.agreed("settings", lambda: text), text)
        self.worker = uuid.uuid4().hex[:12]
        self.seen = {}

    def _check(self, found, text):
        if found != text:
            before, now = json.loads(found), json.loads(text)
            other = next(key for key in sorted(before.keys() | now.keys()) if before.get(key, ...) != now.get(key, ...))
            raise UserError(
                f"the study {self.name} was made with other settings: {other} was {before.get(other)}, now {now.get(other)}; "
                "name another with --study"
            )

    def agreed(self, name, propose):
        """What all workers take for `name`: the first of them said it, in a trial that does nothing else."""
        for _ in range(2):
            found = [trial for trial in self._trials() if name in trial.user_attrs]
            if found:
                break
            with translate_errors(self.name):
                self.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={name: propose()}))
        return min(found, key=lambda trial: trial.number).user_attrs[name]

    @contextlib.contextmanager
    def alive(self):
        """Inside, this worker gives its signs of life."""
        stop = threading.Event()

        def beat():
            count = 0
            while not stop.wait(BEAT if count else 0):
                count += 1
                with contextlib.suppress(*STORAGE_ERRORS):  # a storage that is away for a moment; the work goes on
                    self.study.set_user_attr(f"worker:{self.worker}", {"beat": count, "pid": os.getpid(), "where": where()})

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def holders(self):
        """The trial that holds each key."""
        return self._holders_of(self._trials())

    @staticmethod
    def _holders_of(trials):
        found = {}
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.state != TrialState.FAIL and "key" in trial.user_attrs:
                found.setdefault(trial.user_attrs["key"], trial)
        return found

    def results(self):
        """What each finished job ended with, by key."""
        return {key: trial.user_attrs["result"] for key, trial in self.holders().items() if trial.state in FINISHED}

    def put_up(self, jobs):
        """Every job that nobody holds."""
        held = self.holders()
        for job in jobs:
            if job.key not in held:
                waiting = optuna.trial.create_trial(
                    state=TrialState.WAITING,
                    params=job.params,
                    distributions=job.distributions,
                    user_attrs={"key": job.key},
                )
                with translate_errors(self.name):
                    self.study.add_trial(waiting)

    def claim(self, keys, most, stacking_key):
        """Up to `most` waiting jobs of `keys`, those for which `stacking_key(key)` is that of the first: {key: trial id}."""
        trials, claimed, kind = self._trials(), {}, None
        held = self._holders_of(trials)
        for trial in trials:
            key = trial.user_attrs.get("key")
            if key not in keys or trial.state != TrialState.WAITING:
                continue
            if held[key].number != trial.number:
                self._set(trial, TrialState.FAIL)  # put up twice
            elif len(claimed) < most and (kind is None or stacking_key(key) == kind) and self._set(trial, TrialState.RUNNING):
                kind = stacking_key(key)
                claimed[key] = trial._trial_id
                with translate_errors(self.name):
                    self.storage.set_trial_user_attr(trial._trial_id, "worker", self.worker)
        return claimed

    def finish(self, trial_id, value, result):
        """The job's `result`, with the value it is ranked by, None if it diverged; nothing where another has the job now."""
        with translate_errors(self.name), contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, "result", result)
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            self.storage.set_trial_state_values(trial_id, state, None if value is None else [value])

    def give_back(self, trial_ids):
        """Jobs that were claimed and are not finished: others may have them."""
        for trial_id in trial_ids:
            with translate_errors(self.name), contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                self.storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def free_lost(self, keys):
        """Takes jobs from workers that give no sign of life any more. Returns the keys."""
        with translate_errors(self.name):
            workers, freed = self.study.user_attrs, []
        for trial in self._trials((TrialState.RUNNING,)):
            key, name = trial.user_attrs.get("key"), trial.user_attrs.get("worker")
            sign = workers.get(f"worker:{name}")
            if key in keys and name != self.worker and (dead(sign) or self._silent(trial.number, sign)):
                self._set(trial, TrialState.FAIL)
                freed.append(key)
        return freed

    def _silent(self, number, sign):
        beat, now = (sign or {}).get("beat"), time.monotonic()
        last, since = self.seen.get(number, (None, None))
        if since is None or last != beat:
            self.seen[number] = (beat, now)
            return False
        return now - since > LOST_AFTER

    def _set(self, trial, state):
        """Whether this worker, and no other, changed the trial to `state`."""
        try:
            with translate_errors(self.name, let=optuna.exceptions.UpdateFinishedTrialError):
                return self.storage.set_trial_state_values(trial._trial_id, state)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False

    def _trials(self, states=None):
        with translate_errors(self.name):
            return self.storage.get_all_trials(self.study_id, deepcopy=False, states=states)


@contextlib.contextmanager
def translate_errors(name, let=()):
    """Errors of the storage as one sentence, but for those that are to be `let` through."""
    try:
        yield
    except let:
        raise
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise UserError(f"the study {name} can't be read or written: {' '.join(str(error).split())[:200]}") from error


def where():
    """What makes process ids comparable: the boot of the machine and the process namespace. None where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def dead(sign):
    """Whether a worker's process, on this machine, is gone."""
    if not sign or not sign["where"] or sign["where"] != where():
        return False
    try:
        os.kill(sign["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
