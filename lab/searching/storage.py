"""Where Optuna keeps the studies: opened from what `--storage` names, with errors in one line."""

import contextlib
import time
from collections.abc import Iterator

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from gradcheck.errors import UserError, one_line

# What Optuna logs of every study and trial would stand between our own lines.
optuna.logging.set_verbosity(optuna.logging.WARNING)

# Seconds after which a database is tried for the last time, while other processes create the same tables in it.
LONGEST_PAUSE = 2.0

# What a storage raises while it is opened or used: a lost connection, a module that is missing, a wrong URL.
STORAGE_ERRORS = (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, RuntimeError, ValueError)

# Characters of an error that a message quotes.
QUOTED = 200


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage of a database URL, or of a journal file, `journal:FILE`. Raises UserError where it can't be reached."""
    try:
        if url.startswith("journal:"):
            return JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
        return open_sqlite(url) if url.startswith("sqlite:///") else RDBStorage(url)
    except STORAGE_ERRORS as error:
        reason = one_line(error).split("(Background")[0].strip()  # what SQLAlchemy adds is the address of its manual
        raise UserError(f"--storage {url} can't be opened: {reason[:QUOTED]}; name another, as sqlite:///study.db") from error


def open_sqlite(url: str) -> RDBStorage:
    """Optuna's storage of an SQLite file, with transactions that exclude each other.

    SQLite locks nothing while a transaction only reads, so that two workers could claim one job: here each transaction takes
    the lock when it begins.
    """
    storage = create_tables(url)
    event.listen(storage.engine, "connect", lambda connection, record: setattr(connection, "isolation_level", None))
    event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    storage.engine.dispose()  # of connections that were made before the listeners were
    return storage


def create_tables(url: str) -> RDBStorage:
    """Optuna's storage of an SQLite file; tried again where another process creates its tables at the same moment."""
    pause = 0.1
    while True:
        try:
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
        except SQLAlchemyError as error:
            if pause > LONGEST_PAUSE or not any(word in str(error) for word in ("already exists", "UNIQUE", "locked")):
                raise
        time.sleep(pause)
        pause *= 2


@contextlib.contextmanager
def translate_errors(study: str) -> Iterator[None]:
    """Turns errors of the storage into a UserError that names the study."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise UserError(f"the study {study} can't be read or written: {one_line(error)[:QUOTED]}") from error
