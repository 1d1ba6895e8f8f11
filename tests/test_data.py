"""The data sets: what is read, what is refused, and that nothing is left behind."""

import functools
import hashlib
import http.server
import pickle
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from gradcheck.errors import UserError
from lab.data import cifar10, datasets, synthetic
from lab.data.parts import Data, Part


@pytest.fixture(scope="module")
def drawn():
    return synthetic.draw_synthetic(0)


def test_synthetic_bytes_are_always_the_same(drawn):
    (images, labels), (test_images, _), classes = drawn
    assert (images.shape, images.dtype, len(classes), test_images.shape) == ((10_000, 3072), np.uint8, 10, (2_000, 3072))
    assert hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()[:16] == "7a49754190115e01"
    assert (synthetic.draw_synthetic(1)[0][0] != images).any()


def test_splits_and_normalisation(drawn, monkeypatch):
    monkeypatch.setattr(datasets, "draw_synthetic", lambda seed: drawn)
    (images, labels), (test_images, _), _ = drawn
    sizes = {}
    for split in datasets.SPLITS:
        loaded = datasets.load("synthetic", None, split)
        train, val = loaded.train, loaded.val
        sizes[split] = len(train.labels), len(val.labels), len(loaded.test.labels)
        n = len(train.labels)
        assert (train.images == images[:n]).all()
        assert (val.images == images[n : n + len(val.labels)]).all()
        assert (val.labels == labels[n : n + len(val.labels)]).all()
        X = loaded.normalise("train")
        np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(X.std(axis=0), 1, rtol=1e-12)
        mean, std = train.images.mean(axis=0), train.images.std(axis=0)
        np.testing.assert_allclose(loaded.normalise("test"), (test_images - mean) / std, rtol=1e-9, atol=1e-12)
        assert loaded.normalise("test", np.float32, slice(2)).dtype == np.float32
    assert sizes == {"small": (2000, 2000, 2000), "45000": (9000, 1000, 2000), "49000": (9800, 200, 2000)}


def test_normalisations(drawn, monkeypatch):
    """By hand: whose mean and deviation each image is normalised by."""
    monkeypatch.setattr(datasets, "draw_synthetic", lambda seed: drawn)
    (images, _), (test_images, _), _ = drawn
    files = np.split(images, 5)
    cut = {"train": slice(9000), "val": slice(9000, None)}

    def by(image, of):
        return (image - of.mean(axis=0)) / of.std(axis=0)

    scalar = {name: (images[rows] - images.mean()) / images.std() for name, rows in cut.items()}
    each_file = np.concatenate([by(file, file) for file in files])
    expected = {
        "each-part": {name: by(images[rows], images[rows]) for name, rows in cut.items()}
        | {"test": by(test_images, test_images)},
        "each-file": {name: each_file[rows] for name, rows in cut.items()} | {"test": by(test_images, test_images)},
        "scalar": scalar | {"test": (test_images - images.mean()) / images.std()},
    }
    for normalisation, parts in expected.items():
        loaded = datasets.load("synthetic", None, "45000", normalisation=normalisation)
        for name, X in parts.items():
            np.testing.assert_allclose(loaded.normalise(name), X, rtol=1e-9, atol=1e-12, err_msg=f"{normalisation} {name}")
        np.testing.assert_allclose(loaded.normalise("val", rows=slice(3, 5)), parts["val"][3:5], rtol=1e-9, atol=1e-12)
    # `small` validates on the second file.
    small = datasets.load("synthetic", None, "small", normalisation="each-file")
    np.testing.assert_allclose(small.normalise("val"), by(files[1], files[1]), rtol=1e-9, atol=1e-12)


def test_pixel_that_never_varies_becomes_zero():
    part = Part(np.full((4, 3072), 7, np.uint8), np.zeros(4, np.int64))
    X = Data(part, part, part, ("a",), part.images, 0).normalise("train")
    assert (X == 0).all()


def write_images(folder, classes=("cat", "dog"), each=12, size=(32, 32)):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(folder / name / f"{i}.png")


def test_folder(tmp_path):
    write_images(tmp_path)
    loaded = datasets.load("folder", tmp_path, "45000")
    assert loaded.classes == ("cat", "dog")
    assert [len(part.labels) for part in (loaded.train, loaded.val, loaded.test)] == [18, 2, 4]
    assert set(loaded.train.labels) == {0, 1}
    first = np.asarray(Image.open(tmp_path / "cat" / "0.png")).transpose(2, 0, 1).ravel()
    everything = np.concatenate([part.images for part in (loaded.train, loaded.val, loaded.test)])
    labels = np.concatenate([part.labels for part in (loaded.train, loaded.val, loaded.test)])
    (row,) = np.flatnonzero((everything == first).all(axis=1))
    assert labels[row] == 0


def test_folder_with_train_and_test(tmp_path):
    write_images(tmp_path / "train", each=10)
    write_images(tmp_path / "test", each=3)
    loaded = datasets.load("folder", tmp_path, "small")
    assert [len(part.labels) for part in (loaded.train, loaded.val, loaded.test)] == [4, 4, 6]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "wants a subfolder of images for each class"),
        (lambda folder: write_images(folder, each=0), "wants a subfolder of images for each class"),
        (lambda folder: write_images(folder, size=(40, 32)), "is 40x32 pixels; the networks take 32x32"),
        (lambda folder: write_images(folder, classes=("cat",)), "holds one class, cat"),
        (lambda folder: write_images(folder, each=1), "2 images are too few"),
        (lambda folder: (write_images(folder), (folder / "cat" / "0.png").write_bytes(b"no")), "0.png is not an image"),
    ],
)
def test_folder_that_cannot_be_used(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        datasets.load("folder", tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def small_cifar10(monkeypatch, tmp_path):
    """A stand-in for the published files, five training batches of four images and a test batch, and their true MD5s."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "published" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    contents = {}
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        images, labels = rng.integers(0, 256, (4, 3072), dtype=np.uint8), rng.integers(0, 10, 4).tolist()
        contents[name] = {"data": images, "labels": labels}
    contents["batches.meta"] = {"label_names": [f"class {k}" for k in range(10)]}
    md5 = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{k}", md5[f"data_batch_{k}"]] for k in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    monkeypatch.setattr(cifar10, "TRAINING_IMAGES", 20)
    return folder.parent, contents


def test_cifar10_is_read_and_cached(small_cifar10, monkeypatch):
    folder, contents = small_cifar10
    (images, labels), (test_images, test_labels), classes = cifar10.load_cifar10(folder)
    assert (images == np.concatenate([contents[f"data_batch_{k}"]["data"] for k in range(1, 6)])).all()
    assert labels.tolist() == np.concatenate([contents[f"data_batch_{k}"]["labels"] for k in range(1, 6)]).tolist()
    assert (test_images == contents["test_batch"]["data"]).all()
    assert test_labels.tolist() == contents["test_batch"]["labels"]
    assert classes[3] == "cat"
    assert isinstance(images, np.memmap)
    assert len(list(folder.glob("*.npy"))) == 1
    assert not list(folder.glob(".*"))

    monkeypatch.setattr(cifar10, "read_batches", lambda folder: pytest.fail("the cache was not used"))
    (again, _), _, _ = cifar10.load_cifar10(folder)
    assert (again == images).all()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1])], ids=["cut", "altered"])
def test_damaged_cache_is_made_again(small_cifar10, damage):
    folder, contents = small_cifar10
    cifar10.load_cifar10(folder)
    (cache,) = folder.glob("*.npy")
    cache.write_bytes(damage(cache.read_bytes()))
    _, (test_images, _), _ = cifar10.load_cifar10(folder)
    assert (test_images == contents["test_batch"]["data"]).all()
    assert len(list(folder.glob("*.npy"))) == 1


def test_cache_of_another_source_is_not_used(small_cifar10, monkeypatch):
    folder, contents = small_cifar10
    cifar10.load_cifar10(folder)
    path = folder / CIFAR10.base_folder / "test_batch"
    other = contents["test_batch"] | {"data": 255 - contents["test_batch"]["data"]}
    path.write_bytes(pickle.dumps(other, protocol=2))
    with pytest.raises(UserError, match="truncated or altered"):
        cifar10.load_cifar10(folder)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", hashlib.md5(path.read_bytes()).hexdigest()]])
    _, (test_images, _), _ = cifar10.load_cifar10(folder)
    assert (test_images == other["data"]).all()
    assert len(list(folder.glob("*.npy"))) == 1


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_missing_or_altered_file_is_named_and_nothing_written(small_cifar10, name):
    folder, _ = small_cifar10
    path = folder / CIFAR10.base_folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(UserError, match=f"{name} is truncated or altered"):
        cifar10.load_cifar10(folder)
    path.unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        cifar10.load_cifar10(folder)
    assert [p.name for p in folder.iterdir()] == [CIFAR10.base_folder]


def test_pickle_is_not_opened_before_its_md5_is_right(small_cifar10, monkeypatch):
    folder, _ = small_cifar10

    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("the pickle ran",))

    (folder / CIFAR10.base_folder / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="data_batch_1 is truncated or altered"):
        cifar10.load_cifar10(folder)


@pytest.fixture
def server(small_cifar10, monkeypatch, tmp_path):
    """A local server of the archive, standing in for the published address."""
    published, _ = small_cifar10
    served = tmp_path / "served"
    served.mkdir()
    archive = served / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(published / CIFAR10.base_folder, CIFAR10.base_folder)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=served)) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{http_server.server_port}/{CIFAR10.filename}")
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        yield archive
        http_server.shutdown()


def test_download(server, small_cifar10, tmp_path, capsys):
    _, contents = small_cifar10
    folder = tmp_path / "new" / "data"
    _, (test_images, _), _ = cifar10.load_cifar10(folder)
    assert (test_images == contents["test_batch"]["data"]).all()
    assert sorted(path.name.partition("-cache")[0] for path in folder.iterdir()) == ["cifar-10", CIFAR10.base_folder]
    assert capsys.readouterr().out == ""


def test_failed_download_leaves_nothing(server, tmp_path, monkeypatch):
    folder = tmp_path / "new" / "data"
    server.write_bytes(server.read_bytes()[:-20])
    with pytest.raises(UserError, match="the download failed") as error:
        cifar10.load_cifar10(folder)
    assert "\n" not in str(error.value)
    assert not folder.parent.exists()
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:1/nothing")
    with pytest.raises(UserError, match="--data synthetic"):
        cifar10.load_cifar10(folder)
    assert not folder.exists()


def test_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is not a folder"):
        cifar10.load_cifar10(tmp_path / "file")


def test_folder_that_cannot_be_written_still_loads(small_cifar10, monkeypatch, capsys):
    folder, contents = small_cifar10
    monkeypatch.setattr(np, "save", lambda file, array: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    _, (test_images, _), _ = cifar10.load_cifar10(folder)
    assert (test_images == contents["test_batch"]["data"]).all()
    assert "no cache could be written" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [CIFAR10.base_folder]


@pytest.mark.cifar10
def test_real_cifar10(cifar10_dir):
    loaded = datasets.load("cifar10", cifar10_dir, "45000")
    assert [len(part.labels) for part in (loaded.train, loaded.val, loaded.test)] == [45_000, 5_000, 10_000]
    assert loaded.classes[:3] == ("airplane", "automobile", "bird")
    published = CIFAR10(cifar10_dir)
    for row in (0, 44_999):
        assert (loaded.train.images[row] == published.data[row].transpose(2, 0, 1).ravel()).all()
    assert loaded.val.labels.tolist() == published.targets[45_000:]
    small = datasets.load("cifar10", cifar10_dir, "small")
    assert small.train.labels.tolist() == published.targets[:10_000]
    assert small.val.labels.tolist() == published.targets[10_000:20_000]
