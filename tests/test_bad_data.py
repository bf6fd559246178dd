"""Damaged, swapped, wrong and hostile files of every format: each is named in one line, leaves nothing behind, and a good
file afterwards works. `pytest -s tests/test_bad_data.py` prints how many cases there are and what became of them."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from src import params
from src.datasets import download, registry
from src.datasets.examples import dense
from src.errors import LaboratoryError
from tests.test_datasets import Hostile, idx

RANDOM = np.random.default_rng(1)
PIXELS = RANDOM.integers(0, 256, (30, 4, 5)).astype(np.uint8)
LABELS = np.tile(np.arange(3), 10).astype(np.uint8)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>\x1b[31mNot Found</body></html>\n"


def written(write, *arguments, **more):
    """The bytes that a function writes into a stream."""
    stream = io.BytesIO()
    write(stream, *arguments, **more)
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def picture():
    """A PNG file of random pixels."""
    pixels = RANDOM.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    return written(lambda stream: Image.fromarray(pixels).save(stream, "PNG"))


IMAGES = {f"{kind}/{number}.png": picture() for kind in ("cats", "dogs") for number in range(6)}
REVIEWS = np.array([RANDOM.integers(1, 60, size).tolist() for size in range(3, 18)], dtype=object)
VOTES = np.array([0, 1, 1] * 5)
TABLE = "a,b,y\n" + "".join(f"{a:.3f},{b:.3f},{a - b:.3f}\n" for a, b in RANDOM.normal(size=(40, 2)))


def cifar(**replaced):
    """The content of a small archive in CIFAR-10's form."""
    labels = [0, 1, 1, 0]
    batch = pickle.dumps({b"data": RANDOM.integers(0, 4, (4, 3072)).astype(np.uint8), b"labels": labels}, protocol=2)
    content = {f"data_batch_{number}": batch for number in range(1, 6)} | {"test_batch": batch}
    content["batches.meta"] = pickle.dumps({b"label_names": [b"cat", b"dog"]}, protocol=2)
    return tarred({f"cifar-10-batches-py/{name}": part for name, part in (content | replaced).items()})


SOURCES = {
    "idx": {"files": {"train_images": {"name": "i.gz"}, "train_labels": {"name": "l.gz"}}},
    "npz": {"files": {"arrays": {"name": "a.npz"}}},
    "imdb": {"files": {"reviews": {"name": "r.npz"}}, "words": 50},
    "cifar": {"files": {"archive": {"name": "c.tar.gz"}}},
    "csv": {"files": {"train": {"name": "t.csv"}}, "target": "y"},
    "image_folder": {"files": {"train": {"name": "f.zip"}, "test": {"name": "g.tar.gz"}}, "size": [4, 6]},
}


GOOD = {
    "idx": {"i.gz": gzip.compress(idx(PIXELS)), "l.gz": gzip.compress(idx(LABELS))},
    "npz": {"a.npz": written(np.savez_compressed, x_train=PIXELS, y_train=LABELS)},
    "imdb": {"r.npz": written(np.savez, x_train=REVIEWS, y_train=VOTES, x_test=REVIEWS[:3], y_test=VOTES[:3])},
    "cifar": {"c.tar.gz": cifar()},
    "csv": {"t.csv": TABLE.encode()},
    "image_folder": {"f.zip": zipped(IMAGES), "g.tar.gz": tarred(IMAGES)},
}


def damages(content, others):
    """{what was done: content} of a file: what transport, storage and people do to it."""
    random = np.random.default_rng(len(content))
    found = {"empty": b"", "an HTML page": HTML, "zeros": bytes(len(content)), "reversed": content[::-1]}
    found |= {f"truncated to {share} %": content[: len(content) * share // 100] for share in (1, 25, 50, 90, 99)}
    found["truncated by a byte"] = content[:-1]
    for bit in sorted(random.choice(8 * len(content), 24, replace=False)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        found[f"bit {bit} of {8 * len(content)} flipped"] = bytes(flipped)
    return found | {f"swapped for {name}": other for name, other in others.items() if other != content}


def described(name, checksums=None):
    """The dataset of a format; checksums: {file name: sha256}, or None for files without one."""
    source = {"format": name} | SOURCES[name]
    files = {role: file | {"sha256": (checksums or {}).get(file["name"])} for role, file in source["files"].items()}
    return params.Dataset.model_validate({
        "title": "t", "task": "regression" if name == "csv" else "classification", "split": {"test": 0.2},
        "source": source | {"files": files}, "classes": ["a", "b", "c"] if name in ("idx", "npz") else [],
    })  # fmt: skip


class Bench:
    """A project's data folders, the files that its user has put there, and what download and preprocess make of them."""

    def __init__(self, folder, dataset):
        self.raw, self.own, self.dataset = folder / "raw", folder / "own", dataset
        self.own.mkdir()

    def put(self, files):
        for name, content in files.items():
            (self.own / name).write_bytes(content)

    def prepare(self):
        """What the stages download and preprocess do: (x, y), or the message of their error."""
        try:
            download.fetch("mine", self.dataset, self.raw, self.own, None)
            found = registry.decode("mine", self.dataset, self.dataset.source, self.raw)
        except LaboratoryError as error:
            return str(error)
        return dense(found.x), found.y


def same(found, expected):
    return not isinstance(found, str) and all(map(np.array_equal, found, expected))


def outcome(bench, files, expected):
    """'refused', 'harmless' (the same examples came out), or 'missed'; a good file afterwards must work."""
    before = bench.prepare()
    assert same(before, expected), before
    bench.put(files)
    found = bench.prepare()
    if isinstance(found, str):
        assert found.startswith("dataset mine: ") and "\n" not in found and found.isprintable(), found
        left = {path.name for path in bench.raw.iterdir()}
        assert left <= {path.name for path in bench.own.iterdir()}, left
        return "refused"
    return "harmless" if same(found, expected) else "missed"


def tally(name, counts):
    numbers = f"{counts['refused']} refused, {counts['harmless']} without effect, {counts['missed']} missed"
    print(f"{name}: {counts.total()} cases, {numbers}")


@pytest.mark.parametrize("name", SOURCES)
def test_damaged_files_without_a_checksum_are_named_or_make_no_difference(name, tmp_path):
    """A flipped bit may meet a byte that means nothing, a time stamp in a gzip header say."""
    bench, counts, missed = Bench(tmp_path, described(name)), Counter(), []
    bench.put(GOOD[name])
    expected = bench.prepare()
    others = {file: content for kind, files in GOOD.items() if kind != name for file, content in files.items()}
    for file, content in GOOD[name].items():
        for what, damaged in damages(content, others).items():
            found = outcome(bench, {file: damaged}, expected)
            counts[found] += 1
            if found == "missed":
                missed.append(f"{file}: {what}")
            bench.put(GOOD[name])
    tally(f"{name} without checksum", counts)
    # Nothing in a table of numbers tells whether a digit is the right one.
    assert not [case for case in missed if not (name == "csv" and ("flipped" in case or "truncated" in case))], missed
    assert counts["refused"] > 4 * counts["harmless"]


@pytest.mark.parametrize("name", SOURCES)
def test_damaged_files_with_a_checksum_are_all_refused_and_leave_nothing(name, tmp_path):
    """As the known datasets have one: whatever differs by a bit is another file."""
    files, counts = GOOD[name], Counter()
    checksums = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    bench = Bench(tmp_path, described(name, checksums))
    others = {file: content for kind, found in GOOD.items() if kind != name for file, content in found.items()}
    for file, content in files.items():
        for damaged in damages(content, others).values():
            (bench.raw / file).unlink(missing_ok=True)
            bench.put(files | {file: damaged})
            message = bench.prepare()
            assert f"no good copy of {file}" in message and "expected sha256" in message and "\n" not in message
            assert file not in {path.name for path in bench.raw.iterdir()}, "nothing partial is left"
            counts["refused"] += 1
            (bench.raw / file).write_bytes(damaged)  # damaged after it was fetched: replaced by the good one
            bench.put(files)
            assert not isinstance(bench.prepare(), str)
    tally(f"{name} with checksum", counts)


def save(**arrays):
    return written(np.savez, **arrays)


def lines(*rows):
    return ("a,b,y\n" + "\n".join(rows * 12)).encode()


class Global:
    """Pickles as a call of any function by name."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def wrong_content(trap):
    """(format, {file: content}, words of the message): files that are whole and yet not what they should be."""
    hostile = [Hostile(trap), Global(eval, f"open({str(trap)!r}, 'w')"), Global(exec, f"open({str(trap)!r}, 'w')"),
               Global(getattr, Hostile(trap), "path"), Global(__import__, "os")]  # fmt: skip
    far = np.where(LABELS == 2, 7, LABELS)
    yield "idx", {"i.gz": idx(PIXELS[0])}, "expected images"
    yield "idx", {"i.gz": idx(PIXELS.astype(">i4"), 12)}, "type uint8"
    yield "idx", {"i.gz": gzip.compress(idx(LABELS)), "l.gz": gzip.compress(idx(PIXELS))}, "expected images"
    yield "idx", {"l.gz": idx(PIXELS)}, "labels"
    yield "idx", {"l.gz": idx(far)}, "expected labels from 0 to 2"
    yield "idx", {"l.gz": idx(LABELS[:-3])}, "30 examples but 27 labels"
    yield "idx", {"l.gz": idx(np.minimum(LABELS, 1))}, "no example of class c"
    yield "idx", {"i.gz": b"\0\0\x08\x03" + struct.pack(">3i", -30, -4, 5) + PIXELS.tobytes()}, "shape"
    yield "idx", {"i.gz": b"\0\0\x08\x03" + struct.pack(">3i", *[2**31 - 1] * 3) + PIXELS.tobytes()}, "shape"
    yield "npz", {"a.npz": save(x_train=PIXELS)}, "y_train is missing"
    yield "npz", {"a.npz": save(x_train=PIXELS, y_train=far)}, "expected labels from 0 to 2"
    yield "npz", {"a.npz": save(x_train=PIXELS, y_train=LABELS - 1.0)}, "whole numbers"
    yield "npz", {"a.npz": save(x_train=PIXELS / 2, y_train=LABELS)}, "type uint8"
    yield "npz", {"a.npz": save(x_train=np.full((30, 2), np.nan), y_train=LABELS)}, "NaN"
    yield "npz", {"a.npz": save(x_train=np.full((30, 2), 1e300), y_train=LABELS)}, "infinite"
    yield "npz", {"a.npz": save(x_train=np.array(3), y_train=LABELS)}, "array of numbers"
    yield "npz", {"a.npz": save(x_train=LABELS, y_train=LABELS)}, "one number each"
    yield "npz", {"a.npz": save(x_train=np.array(["a"] * 30), y_train=LABELS)}, "array of numbers"
    yield "npz", {"a.npz": save(x_train=PIXELS, y_train=LABELS, x_test=PIXELS)}, "y_test"
    yield "npz", {"a.npz": save(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:, :2], y_test=LABELS)}, "differ in shape"
    yield "imdb", {"r.npz": save(x_train=PIXELS, y_train=LABELS, x_test=PIXELS, y_test=LABELS)}, "reviews"
    yield "imdb", {"r.npz": save(x_train=REVIEWS, y_train=VOTES + 1, x_test=REVIEWS, y_test=VOTES)}, "expected labels"
    yield (
        "imdb",
        {"r.npz": save(x_train=-REVIEWS[0][0] * np.ones((15, 3), int), y_train=VOTES, x_test=REVIEWS, y_test=VOTES)},
        "reviews",
    )
    yield (
        "imdb",
        {"r.npz": save(x_train=np.array(["text"] * 15), y_train=VOTES, x_test=REVIEWS, y_test=VOTES)},
        "reviews",
    )
    yield (
        "cifar",
        {"c.tar.gz": cifar(data_batch_2=pickle.dumps({b"data": np.zeros((5, 7)), b"labels": [0] * 5}))},
        "data_batch_2",
    )
    yield "cifar", {"c.tar.gz": cifar(data_batch_2=pickle.dumps({b"data": np.zeros((5, 3072))}))}, "data_batch_2"
    yield "cifar", {"c.tar.gz": cifar(data_batch_2=pickle.dumps({b"data": None, b"labels": {}}))}, "data_batch_2"
    yield "cifar", {"c.tar.gz": cifar(**{"batches.meta": pickle.dumps({b"label_names": [b"cat"]})})}, "expected labels"
    yield "cifar", {"c.tar.gz": cifar(**{"batches.meta": pickle.dumps({b"label_names": 3})})}, "label_names"
    yield "cifar", {"c.tar.gz": cifar(test_batch=b"")}, "test_batch: not a readable pickle"
    yield "cifar", {"c.tar.gz": tarred({"../../../etc/data_batch_1": b"x"})}, "not a readable pickle"
    yield "csv", {"t.csv": lines("1,2,3", "1,,3")}, "NaN"
    yield "csv", {"t.csv": lines("1,2,3", "1,nan,3")}, "NaN"
    yield "csv", {"t.csv": lines("1,2,3", "1,inf,3")}, "NaN"
    yield "csv", {"t.csv": lines("1,2,3", "1,2,")}, "targets hold missing"
    yield "csv", {"t.csv": lines("1,2,3", "1,2,-inf")}, "targets hold missing"
    yield "csv", {"t.csv": lines("1,2,3", "1,two,3")}, "column 'b' holds text"
    yield "csv", {"t.csv": lines("1,2,3", "1,2,3,4")}, "not a readable CSV"
    yield "csv", {"t.csv": lines("1,2,3", "1,2,three")}, "such as 'three'"
    yield "csv", {"t.csv": b"\xff\xfe" + lines("1,2,3")}, "not a readable CSV"
    yield "csv", {"t.csv": lines("1,2,3").replace(b"y", b"z", 1)}, "expected a column 'y'"
    yield "csv", {"t.csv": lines("1,2,3").replace(b"a,b,y", b"a\x1b[31m,b\n")}, "'y'"
    yield "csv", {"t.csv": b"a,b,y\n"}, "no line below the header"
    yield "image_folder", {"f.zip": zipped({"cats/1.png": HTML})}, "cats/1.png: not a readable image"
    yield "image_folder", {"f.zip": zipped({"\x1b]0;evil\x07/1.png": HTML})}, "not a readable image"
    yield "image_folder", {"f.zip": zipped({"cats/readme.txt": HTML})}, "no image in it"
    yield "image_folder", {"f.zip": zipped({"1.png": picture()})}, "lies in no folder"
    yield "image_folder", {"f.zip": zipped({"cats/1.png": picture()[:-30]})}, "not a readable image"
    yield "image_folder", {"f.zip": zipped({"cats/1.png": huge_picture()})}, "not a readable image"
    yield "image_folder", {"g.tar.gz": tarred({"birds/1.png": picture()})}, "'birds' occurs in the test archive only"
    for harm in hostile:
        for protocol in (0, 2, 5):
            yield "cifar", {"c.tar.gz": cifar(data_batch_1=pickle.dumps(harm, protocol))}, "wants to run"
        yield "npz", {"a.npz": save(x_train=np.array([harm] * 30), y_train=LABELS)}, "wants to run"
        yield (
            "imdb",
            {"r.npz": save(x_train=np.array([harm] * 15), y_train=VOTES, x_test=REVIEWS, y_test=VOTES)},
            "wants to run",
        )


def huge_picture():
    """A PNG file whose header says 60,000 x 60,000 pixels."""
    content = bytearray(picture())
    content[16:24] = struct.pack(">2I", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_wrong_and_hostile_content_is_named_and_nothing_of_it_runs(tmp_path):
    trap, counts = tmp_path / "executed", Counter()
    for number, (name, files, said) in enumerate(wrong_content(trap)):
        folder = tmp_path / str(number)
        folder.mkdir()
        bench = Bench(folder, described(name))
        bench.put(GOOD[name])
        expected = bench.prepare()
        assert outcome(bench, files, expected) == "refused", (name, said)
        assert said in bench.prepare(), (said, bench.prepare())
        bench.put(GOOD[name])
        assert same(bench.prepare(), expected), "a good file afterwards works"
        counts["refused"] += 1
    tally("wrong or hostile content", counts)
    assert not trap.exists(), "code from a data file was run"


def test_members_that_point_out_of_an_archive_are_names_and_no_more(tmp_path):
    """Archives are read in memory: no path in them is ever opened, not even that of a link."""
    names = ["../../evil/1.png", "/etc/evil/2.png", "C:\\evil/3.png", "evil/../../evil/4.png"]
    members = {name: picture() for name in names} | IMAGES
    stream = io.BytesIO(gzip.decompress(tarred(members)))
    with tarfile.open(fileobj=stream, mode="a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"cats/{kind.decode()}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    dataset = described("image_folder")
    for content in (zipped(members), stream.getvalue()):
        folder = tmp_path / str(len(content))
        folder.mkdir()
        bench = Bench(folder, dataset)
        bench.put({"f.zip": content, "g.tar.gz": tarred(IMAGES)})
        x, _ = bench.prepare()
        assert len(x) == 12 + 4 + 12
    assert not list(tmp_path.rglob("*.png")) and not list(tmp_path.parent.glob("evil*"))


def test_a_bad_file_of_a_mirror_does_not_outlive_its_repair(tmp_path):
    """Without a checksum nothing says that the copy in data/raw is the bad one: it is taken anew."""
    bench = Bench(tmp_path, described("csv"))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for content in (HTML, GOOD["csv"]["t.csv"]):
        (mirror / "t.csv").write_bytes(content)
        download.fetch("mine", bench.dataset, bench.raw, bench.own, mirror)
        assert (bench.raw / "t.csv").read_bytes() == content
