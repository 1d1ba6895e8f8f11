"""CIFAR-10 as published: downloaded by torchvision if absent, every file compared with its MD5, cached as a memory map.

torchvision serves three things here: the download, the published names and MD5s, and reading the published files.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from gradcheck.errors import UserError, one_line
from lab.data.class_names import CIFAR10_CLASSES
from lab.data.parts import Part, Source

TRAINING_IMAGES = 50_000

# The layout of CIFAR-10's binary version: a byte for the class, then the image.
RECORD = np.dtype([("label", np.uint8), ("image", np.uint8, 3072)])


def load_cifar10(data_dir: str | Path) -> Source:
    """The images of the folder `data_dir` as a read-only memory map, downloaded first if they are not there.

    No file is unpickled before its MD5 is the published one. Raises UserError where a file is missing or altered, and
    where the download fails; then nothing is left behind.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise UserError(f"{data_dir} is not a folder; give --data-dir the one that holds {CIFAR10.base_folder}")
    if not (data_dir / CIFAR10.base_folder).exists():
        download(data_dir)
    for name, md5 in published_files():
        verify(data_dir / CIFAR10.base_folder / name, md5)
    records = open_cache(data_dir)
    if records is None:
        records = write_cache(data_dir, read_batches(data_dir))
    images, labels = records["image"], records["label"].astype(np.int64)
    train, test = slice(None, TRAINING_IMAGES), slice(TRAINING_IMAGES, None)
    return Source(Part(images[train], labels[train]), Part(images[test], labels[test]), CIFAR10_CLASSES)


def published_files() -> list[tuple[str, str]]:
    """Name and MD5 of each file, as torchvision lists them."""
    listed = (*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"]))
    return [(name, md5) for name, md5 in listed]


def verify(path: Path, md5: str) -> None:
    """Raises UserError unless the file is there and has this MD5."""
    advice = f"delete {path.parent} to download it again, or put the published files there"
    if not path.is_file():
        raise UserError(f"{path} is missing; {advice}")
    try:
        found = calculate_md5(path)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror})") from error
    if found != md5:
        raise UserError(f"{path} is truncated or altered: its MD5 is {found}, published is {md5}; {advice}")


def download(data_dir: Path) -> None:
    """Puts the published files into `data_dir`, or raises UserError and leaves nothing."""
    created = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    partial = None
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=data_dir, prefix=".download-"))
        with contextlib.redirect_stdout(sys.stderr):
            CIFAR10(partial, download=True)
        os.replace(partial / CIFAR10.base_folder, data_dir / CIFAR10.base_folder)
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"CIFAR-10 is not in {data_dir} and the download failed ({one_line(error)}); "
            f"put {CIFAR10.base_folder} there, or use --data synthetic"
        ) from error
    finally:
        if partial:
            shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: the download is there
            for folder in created:
                folder.rmdir()


def read_batches(data_dir: Path) -> np.ndarray:
    """All images and labels as records (60000,), training first, through torchvision."""
    parts = []
    for train in (True, False):
        published = CIFAR10(data_dir, train=train)
        part = np.empty(len(published.targets), RECORD)
        part["label"] = published.targets
        part["image"] = published.data.transpose(0, 3, 1, 2).reshape(len(part), -1)  # rows of planes R, G, B
        parts.append(part)
    return np.concatenate(parts)


def cache_files(data_dir: Path) -> tuple[str, list[Path]]:
    """How the names of the caches of the published files start, and those caches. A name ends in the MD5 of the content."""
    source = hashlib.md5("".join(md5 for _, md5 in published_files()).encode()).hexdigest()[:8]
    return f"cifar-10-cache-{source}", sorted(data_dir.glob(f"cifar-10-cache-{source}-*.npy"))


def open_cache(data_dir: Path) -> np.ndarray | None:
    """The cached records as a read-only memory map, or None where there is no cache or it is not what its name says."""
    for path in cache_files(data_dir)[1]:
        with contextlib.suppress(OSError, ValueError):
            if calculate_md5(path) == path.stem.rpartition("-")[2]:
                records = np.load(path, mmap_mode="r")
                if records.dtype == RECORD:
                    return records
    return None


def write_cache(data_dir: Path, records: np.ndarray) -> np.ndarray:
    """Writes the records beside the source, under a temporary name first, and returns them memory-mapped.

    Where the folder can't be written, the records themselves are returned, and the next loading is as slow as this one.
    """
    partial = data_dir / f".cifar-10-cache-{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            np.save(file, records)
        stem, _ = cache_files(data_dir)
        path = data_dir / f"{stem}-{calculate_md5(partial)}.npy"
        os.replace(partial, path)
        for stale in set(data_dir.glob("cifar-10-cache-*.npy")) - {path}:
            stale.unlink()
    except OSError as error:
        print(f"note: no cache could be written to {data_dir} ({error.strerror})", file=sys.stderr)
        return records
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")
