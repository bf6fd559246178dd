"""Downloads: from a folder, a web mirror or canonical URLs; verified, whole or not at all, never silently replaced."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import yaml

from src import params
from src.datasets import download
from src.errors import LaboratoryError

GOOD, OTHER = b"good content " * 1000, b"another file " * 1000


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def dataset(url=None):
    files = {
        "train_images": {"name": "one.gz", "sha256": sha256(GOOD)},
        "train_labels": {"name": "two.gz", "sha256": sha256(OTHER)},
    }
    if url:
        files = {role: {**file, "urls": [f"{url}/{file['name']}"]} for role, file in files.items()}
    fields = {
        "title": "t",
        "task": "classification",
        "split": {"test": 0.2},
        "source": {"format": "idx", "files": files},
    }
    return params.Dataset.model_validate(fields)


def fill(folder, one=GOOD, two=OTHER):
    folder.mkdir(exist_ok=True)
    for name, content in (("one.gz", one), ("two.gz", two)):
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def fetch(tmp_path, described, mirror=None):
    return download.fetch("mine", described, tmp_path / "raw", tmp_path / "own", mirror)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def serve(tmp_path):
    """Serve a folder over HTTP on loopback; returns its URL."""
    servers = []

    def start(folder):
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        handler.log_message = lambda *args: None
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()


def test_files_come_from_a_mirror_folder(tmp_path):
    source, note = fetch(tmp_path, dataset(), fill(tmp_path / "mirror"))
    assert names(tmp_path / "raw") == ["one.gz", "two.gz"] and note == "" and source["format"] == "idx"
    assert (tmp_path / "raw/one.gz").read_bytes() == GOOD


def test_files_come_from_a_web_mirror(tmp_path, serve):
    fetch(tmp_path, dataset(), serve(fill(tmp_path / "web")))
    assert (tmp_path / "raw/two.gz").read_bytes() == OTHER


def test_files_come_from_their_urls(tmp_path, serve):
    fetch(tmp_path, dataset(serve(fill(tmp_path / "web"))))
    assert names(tmp_path / "raw") == ["one.gz", "two.gz"]


def test_good_files_already_there_are_not_fetched_again(tmp_path):
    fill(tmp_path / "raw")
    fetch(tmp_path, dataset())  # neither mirror nor URL: it would fail if it looked for one


def test_a_damaged_file_already_there_is_replaced(tmp_path):
    fill(tmp_path / "raw", one=GOOD[:-1])
    fetch(tmp_path, dataset(), fill(tmp_path / "mirror"))
    assert (tmp_path / "raw/one.gz").read_bytes() == GOOD


@pytest.mark.parametrize("content, said", [
    (GOOD[:-1], "damaged"), (b"", "damaged"), (b"<html>sorry</html>", "damaged"), (OTHER, "swapped: this is the content of two.gz"),
    (bytes([GOOD[0] ^ 1]) + GOOD[1:], "damaged"), (None, "not there"),
], ids=["truncated", "empty", "html", "swapped", "bit", "absent"])  # fmt: skip
@pytest.mark.parametrize("how", ["folder", "web"])
def test_a_bad_copy_is_named_and_nothing_of_it_stays(tmp_path, serve, content, said, how):
    folder = fill(tmp_path / "mirror", one=content)
    mirror = folder if how == "folder" else serve(folder)
    with pytest.raises(LaboratoryError) as caught:
        fetch(tmp_path, dataset(), mirror)
    message = str(caught.value)
    assert "dataset mine: no good copy of one.gz" in message and "DATASETS_MIRROR" in message and "\n" not in message
    assert how == "web" or said in message, message
    assert names(tmp_path / "raw") == []
    fill(tmp_path / "mirror")
    fetch(tmp_path, dataset(), mirror)  # a good file afterwards works
    assert names(tmp_path / "raw") == ["one.gz", "two.gz"]


def test_without_any_source_everything_tried_is_named(tmp_path):
    with pytest.raises(LaboratoryError) as caught:
        fetch(tmp_path, dataset("http://127.0.0.1:9"))
    for words in ("one.gz", "http://127.0.0.1:9/one.gz", "DATASETS_MIRROR"):
        assert words in str(caught.value)


def stand_in(folder, sha):
    folder.mkdir()
    (folder / "rebuilt.npz").write_bytes(b"rebuilt")
    declared = {"mine": {"file": "rebuilt.npz", "format": "npz", "sha256": sha, "note": "2 images differ"}}
    (folder / "mirror.yaml").write_text(yaml.safe_dump(declared))
    return folder


@pytest.mark.parametrize("how", ["folder", "web"])
def test_a_declared_stand_in_is_used_with_its_note(tmp_path, serve, how):
    folder = stand_in(tmp_path / "mirror", sha256(b"rebuilt"))
    source, note = fetch(tmp_path, dataset(), folder if how == "folder" else serve(folder))
    assert note == "2 images differ" and source["format"] == "npz" and names(tmp_path / "raw") == ["rebuilt.npz"]


def test_a_stand_in_with_another_checksum_is_refused(tmp_path):
    with pytest.raises(LaboratoryError, match="rebuilt.npz"):
        fetch(tmp_path, dataset(), stand_in(tmp_path / "mirror", sha256(b"something else")))


def test_the_canonical_file_goes_before_a_stand_in(tmp_path):
    folder = fill(stand_in(tmp_path / "mirror", sha256(b"rebuilt")))
    assert fetch(tmp_path, dataset(), folder)[1] == ""


def test_own_files_need_no_checksum_but_must_not_be_empty(tmp_path):
    files = {"train": {"name": "mine.csv"}}
    fields = {"title": "t", "task": "regression", "split": {"test": 0.2},
              "source": {"format": "csv", "target": "y", "files": files}}  # fmt: skip
    described = params.Dataset.model_validate(fields)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.csv").write_text("")
    with pytest.raises(LaboratoryError, match="empty file"):
        fetch(tmp_path, described)
    (tmp_path / "own/mine.csv").write_text("x,y\n1,2\n")
    fetch(tmp_path, described)
    assert (tmp_path / "raw/mine.csv").read_text() == "x,y\n1,2\n"
    (tmp_path / "own/mine.csv").write_text("x,y\n1,3\n")
    fetch(tmp_path, described)
    assert (tmp_path / "raw/mine.csv").read_text() == "x,y\n1,3\n", "an edited file is taken anew"


def test_a_mirror_may_keep_the_files_in_a_folder_named_like_the_dataset(tmp_path):
    (tmp_path / "mirror").mkdir()
    fill(tmp_path / "mirror" / "mine")
    fetch(tmp_path, dataset(), str(tmp_path / "mirror"))
    assert names(tmp_path / "raw") == ["one.gz", "two.gz"]


def table():
    source = {"format": "csv", "target": "y", "files": {"train": {"name": "t.csv", "sha256": sha256(GOOD)}},
              "stand_in": {"format": "gaps", "rows": 20}}  # fmt: skip
    fields = {"title": "t", "task": "regression", "split": {"test": 0.2}, "source": source}
    return params.Dataset.model_validate(fields)


def test_generated_samples_stand_in_for_absent_files_and_say_so(tmp_path):
    source, note = fetch(tmp_path, table())
    assert source["format"] == "gaps" and source["rows"] == 20
    assert "t.csv" in note and "stand in" in note


def test_generated_samples_never_stand_in_for_a_damaged_file(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "t.csv").write_bytes(OTHER)
    with pytest.raises(LaboratoryError, match=r"t\.csv.*damaged or another file"):
        fetch(tmp_path, table())


def test_the_files_go_before_generated_samples(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "t.csv").write_bytes(GOOD)
    source, note = fetch(tmp_path, table())
    assert source["format"] == "csv" and not note
