"""Files in every known format become checked arrays; damaged, wrong and hostile ones are refused by name."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.sparse
from PIL import Image
from pydantic import TypeAdapter

from src import params
from src.datasets import examples, registry, safe_pickle, split
from src.errors import LaboratoryError


def dataset(source, task="classification", **more):
    fields = {"title": "t", "task": task, "split": {"test": 0.2}, "source": source, **more}
    return params.Dataset.model_validate(fields)


def decode(source, folder, task="classification", **more):
    described = dataset(source, task, **more)
    return registry.decode("mine", described, described.source, folder)


def refused(source, folder, task="classification", **more):
    with pytest.raises(LaboratoryError) as caught:
        decode(source, folder, task, **more)
    assert str(caught.value).startswith("dataset mine: ") and "\n" not in str(caught.value)
    return str(caught.value)


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 5)).astype(np.uint8)
LABELS = np.tile(np.arange(3), 10).astype(np.uint8)


# ---------------------------------------------------------------- idx


def idx(array, code=8):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


IDX = {"format": "idx", "files": {"train_images": {"name": "i.gz"}, "train_labels": {"name": "l"}}}


def write_idx(folder, images=None, labels=None):
    (folder / "i.gz").write_bytes(gzip.compress(idx(PIXELS)) if images is None else images)
    (folder / "l").write_bytes(idx(LABELS) if labels is None else labels)


def test_idx_files_are_read_gzipped_or_not(tmp_path):
    write_idx(tmp_path)
    found = decode(IDX, tmp_path)
    np.testing.assert_array_equal(found.x[..., 0], PIXELS)
    np.testing.assert_array_equal(found.y, LABELS)
    assert found.x.dtype == np.uint8 and found.classes == ["0", "1", "2"] and found.official_test_rows == 0


@pytest.mark.parametrize("broken, said", [
    (gzip.compress(idx(PIXELS))[:-20], "damaged gzip"), (b"<html>not found</html>", "not an IDX file"), (b"", "not an IDX"),
    (idx(PIXELS)[:-1], "bytes follow"), (idx(LABELS), "expected images"), (idx(PIXELS)[:9], "not an IDX file"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_damaged_idx_files_are_refused(tmp_path, broken, said):
    write_idx(tmp_path, images=broken)
    assert said in refused(IDX, tmp_path)


def test_labels_outside_the_classes_are_refused(tmp_path):
    write_idx(tmp_path)
    assert "expected labels from 0 to 1" in refused(IDX, tmp_path, classes=["a", "b"])
    assert "no example of class d" in refused(IDX, tmp_path, classes=["a", "b", "c", "d"])


def test_a_different_number_of_labels_is_refused(tmp_path):
    write_idx(tmp_path, labels=idx(LABELS[:-1]))
    assert "30 examples but 29 labels" in refused(IDX, tmp_path)


# ---------------------------------------------------------------- npz

NPZ = {"format": "npz", "files": {"arrays": {"name": "a.npz"}}}


def test_npz_archives_with_an_official_test_part(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=PIXELS, y_train=LABELS[:, None], x_test=PIXELS[:12], y_test=LABELS[:12])
    found = decode(NPZ, tmp_path)
    assert found.x.shape == (42, 4, 5, 1) and found.official_test_rows == 12 and found.y.shape == (42,)


def test_npz_tables_for_regression(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) / 7
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    found = decode(NPZ, tmp_path, "regression")
    assert found.x.dtype == np.float32 and found.y.shape == (20, 1) and found.classes == []


def test_npz_archives_that_lack_an_array_or_are_none_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=PIXELS)
    assert "y_train is missing" in refused(NPZ, tmp_path)
    (tmp_path / "a.npz").write_bytes(b"hello")
    assert "not a readable NumPy archive" in refused(NPZ, tmp_path)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_an_npz_that_would_execute_code_is_refused_and_nothing_runs(tmp_path):
    trap = tmp_path / "executed"
    arrays = {"x_train": np.array([Hostile(trap)] * 20, dtype=object), "y_train": np.arange(20) % 2}
    np.savez(tmp_path / "a.npz", **arrays)
    assert "refused: the file wants to run" in refused(NPZ, tmp_path)
    assert not trap.exists()


# ---------------------------------------------------------------- csv

CSV = {"format": "csv", "target": "kind", "files": {"train": {"name": "t.csv"}}}


def test_csv_tables_with_named_classes_and_a_test_file(tmp_path):
    lines = ["a,b,kind"] + [f"{i},{i / 2},{'red' if i % 2 else 'blue'}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "u.csv").write_text("\n".join(lines[:6]))
    found = decode(CSV | {"files": {"train": {"name": "t.csv"}, "test": {"name": "u.csv"}}}, tmp_path)
    assert found.classes == ["blue", "red"] and found.y[:3].tolist() == [0, 1, 0] and found.official_test_rows == 5
    np.testing.assert_array_equal(found.x[3], [3, 1.5])


@pytest.mark.parametrize("text, said", [
    ("a,b\n1,2\n", "expected a column 'kind'"), ("", "not a readable CSV"), ("kind\n1\n", "no column beside"),
    ("a,kind\n" + "x,1\n" * 20, "column 'a' holds text"), ("a,kind\n" + "1,0\n,1\n" * 10, "missing or infinite"),
    ("a,kind\n1,0\n", "at least 10 examples"), ("a,kind\n" + "1,0.5\n" * 20, "not whole numbers"),
], ids=lambda value: value[:20])  # fmt: skip
def test_unusable_csv_tables_are_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    assert said in refused(CSV, tmp_path)


def test_a_class_that_only_the_test_file_has_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,kind\n" + "1,red\n2,blue\n" * 10)
    (tmp_path / "u.csv").write_text("a,kind\n1,green\n")
    assert "'green'" in refused(CSV | {"files": {"train": {"name": "t.csv"}, "test": {"name": "u.csv"}}}, tmp_path)


def test_a_missing_target_in_a_regression_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,kind\n" + "1,0.5\n2,\n" * 10)
    assert "targets hold missing" in refused(CSV, tmp_path, "regression")


# ---------------------------------------------------------------- cifar

CIFAR = {"format": "cifar", "files": {"archive": {"name": "c.tar.gz"}}}
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def cifar_archive(path, **replaced):
    """A small archive in CIFAR-10's form: planes of red, green and blue, pickled by Python 2's protocol."""
    random = np.random.default_rng(0)
    content = {name: pickle.dumps({b"data": random.integers(0, 256, (20, 3072)).astype(np.uint8),
                                   b"labels": (np.arange(20) % 10).tolist()}, protocol=2) for name in BATCHES}  # fmt: skip
    names = [f"c{number}".encode() for number in range(10)]
    content["batches.meta"] = pickle.dumps({b"label_names": names}, protocol=2)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (content | replaced).items():
            if data is not None:
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return content


def test_cifar_archives_are_read_without_executing_their_pickles(tmp_path):
    content = cifar_archive(tmp_path / "c.tar.gz")
    found = decode(CIFAR, tmp_path)
    assert found.x.shape == (120, 32, 32, 3) and found.official_test_rows == 20 and found.classes[3] == "c3"
    first = pickle.loads(content["data_batch_1"])[b"data"][0]
    assert found.x[0, 1, 2].tolist() == [first[34], first[1024 + 34], first[2048 + 34]]


def test_a_cifar_archive_that_would_execute_code_is_refused_and_nothing_runs(tmp_path):
    trap = tmp_path / "executed"
    cifar_archive(tmp_path / "c.tar.gz", data_batch_2=pickle.dumps(Hostile(trap)))
    assert "refused: the file wants to run" in refused(CIFAR, tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("replaced, said", [
    ({"data_batch_3": None}, "data_batch_3 is missing"), ({"data_batch_3": b"junk"}, "not a readable pickle"),
    ({"data_batch_3": pickle.dumps({b"data": np.zeros((5, 7), np.uint8), b"labels": [0] * 5})}, "data_batch_3"),
    ({"data_batch_3": pickle.dumps([1, 2])}, "data_batch_3"),
], ids=["missing", "junk", "shape", "list"])  # fmt: skip
def test_damaged_cifar_archives_are_refused(tmp_path, replaced, said):
    cifar_archive(tmp_path / "c.tar.gz", **replaced)
    assert said in refused(CIFAR, tmp_path)


def test_a_truncated_cifar_archive_is_refused(tmp_path):
    cifar_archive(tmp_path / "c.tar.gz")
    whole = (tmp_path / "c.tar.gz").read_bytes()
    (tmp_path / "c.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "not a readable zip or tar archive" in refused(CIFAR, tmp_path)


@pytest.mark.parametrize(
    "value", [[1, {b"a": (2.0, None)}], {b"x": np.arange(4, dtype=np.int16)}], ids=["plain", "array"]
)
def test_harmless_pickles_are_read(value):
    for protocol in (2, 4):
        assert repr(safe_pickle.load(io.BytesIO(pickle.dumps(value, protocol)), "here")) == repr(value)


# ---------------------------------------------------------------- imdb


def test_imdb_reviews_become_the_words_that_occur_numbered_as_in_keras(tmp_path):
    reviews = np.array([[5, 5, 9, 400], [7], [1, 2]] * 5, dtype=object)
    labels = np.array([0, 1, 1] * 5)
    np.savez(tmp_path / "r.npz", x_train=reviews, y_train=labels, x_test=reviews[:3], y_test=labels[:3])
    source = {"format": "imdb", "words": 50, "files": {"reviews": {"name": "r.npz"}}}
    found = decode(source, tmp_path)
    assert scipy.sparse.issparse(found.x) and found.x.dtype == np.uint8 and found.x.shape == (18, 50)
    # words are shifted by 3; 1 starts every review; rarer words than the 50 commonest become 2
    assert found.x[0].indices.tolist() == [1, 2, 8, 12] and set(found.x.data) == {1}
    assert found.classes == ["negative", "positive"] and found.official_test_rows == 3


# ---------------------------------------------------------------- image folders


def png(colour, mode="RGB", size=(9, 7)):
    stream = io.BytesIO()
    Image.new(mode, size, colour).save(stream, "PNG")
    return stream.getvalue()


FOLDER = {"format": "image_folder", "size": [4, 6], "files": {"train": {"name": "f.zip"}}}


def test_image_folders_are_read_resized_and_labelled_by_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for number in range(6):
            archive.writestr(f"set/red/{number}.png", png((255, 0, 0)))
            archive.writestr(f"set/blue/{number}.png", png((0, 0, 255)))
        archive.writestr("set/readme.txt", "no image")
        archive.writestr("../../outside/evil.png", png((0, 255, 0)))  # a path out of the archive is a name, no more
    found = decode(FOLDER, tmp_path)
    assert found.x.shape == (13, 4, 6, 3) and found.classes == ["blue", "outside", "red"]
    assert found.x[found.y == 2].reshape(-1, 3).min(0).tolist() == [255, 0, 0]
    assert not (tmp_path.parent.parent / "outside").exists()


def test_image_folders_from_tar_in_grey(tmp_path):
    with tarfile.open(tmp_path / "f.zip", "w:gz") as archive:
        for number in range(12):
            data = png(number * 20, "L")
            member = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert decode(FOLDER | {"mode": "grayscale"}, tmp_path).x.shape == (12, 4, 6, 1)


@pytest.mark.parametrize("name, content, said", [
    ("a/1.png", b"no png", "not a readable image"), ("1.png", png(0, "L"), "lies in no folder"), ("a/1.txt", b"", "no image in it"),
])  # fmt: skip
def test_unusable_image_folders_are_refused(tmp_path, name, content, said):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr(name, content)
    assert said in refused(FOLDER, tmp_path)


# ---------------------------------------------------------------- generated


def test_gaps_leave_the_dark_intervals_empty_in_training_only():
    source = TypeAdapter(params.AnySource).validate_python({"format": "gaps"})
    found = registry.decode("gaps", dataset({"format": "gaps"}, "regression"), source, ".")
    train, test = found.x[:-100, 0], found.x[-100:, 0]
    for low, high in source.dark_intervals:
        assert not ((train > low) & (train < high)).any() and ((test > low) & (test < high)).sum() > 3
    again = registry.decode("gaps", dataset({"format": "gaps"}, "regression"), source, ".")
    np.testing.assert_array_equal(found.y, again.y)


@pytest.mark.parametrize("name, task, shape", [("digits", "classification", (8, 8, 1)), ("iris", "classification", (4,)),
                                               ("diabetes", "regression", (10,))])  # fmt: skip
def test_the_datasets_inside_scikit_learn_need_no_file(name, task, shape):
    assert decode({"format": "sklearn", "name": name}, ".", task).x.shape[1:] == shape


# ---------------------------------------------------------------- on disk, and the split


def test_only_the_asked_rows_leave_the_file(tmp_path):
    for x in (PIXELS[..., None], scipy.sparse.csr_matrix(PIXELS.reshape(30, 20) > 99).astype(np.uint8)):
        examples.save(
            tmp_path / str(type(x).__name__), examples.Examples(x, LABELS, list("abc")), {"task": "classification"}
        )
        rows, labels = examples.load_rows(tmp_path / str(type(x).__name__), np.array([4, 1]))
        np.testing.assert_array_equal(examples.dense(rows), examples.dense(x[[4, 1]]))
        assert labels.tolist() == LABELS[[4, 1]].tolist()


def test_the_split_is_stratified_seeded_and_complete():
    y = np.repeat([0, 1, 2], [500, 300, 200])
    development, fold, test = split.split(y, 0, 0.2, 5, seed=1, stratified=True)
    assert sorted([*development, *test]) == list(range(1000))
    assert np.bincount(y[test]).tolist() == [100, 60, 40]
    for fraction in (0.2, 0.3, 0.4):  # every prefix is stratified, so one order serves all validation fractions
        counts = np.bincount(y[development[: split.validation_rows(800, fraction)]])
        np.testing.assert_allclose(counts, 800 * fraction * np.array([0.5, 0.3, 0.2]), atol=1.01)
    assert [np.bincount(y[development[fold == k]]).tolist() for k in range(5)] == [[80, 48, 32]] * 5
    again = split.split(y, 0, 0.2, 5, seed=1, stratified=True)
    np.testing.assert_array_equal(development, again[0])
    assert not np.array_equal(development, split.split(y, 0, 0.2, 5, seed=2, stratified=True)[0])


def test_the_official_test_part_is_kept_whole():
    y = np.tile([0, 1], 50)
    development, _, test = split.split(y, 30, "official", 5, seed=1, stratified=True)
    assert test.tolist() == list(range(70, 100)) and sorted(development) == list(range(70))
    with pytest.raises(ValueError, match="no test part"):
        split.split(y, 0, "official", 5, seed=1, stratified=True)
