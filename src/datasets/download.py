"""Fetch a dataset's files: verified by checksum, whole or not at all, never silently replaced by something else.

Sources in order: what data/raw already holds, the user's own files in data/own, the mirror in $DATASETS_MIRROR
(a folder or a URL; files lie in it or in its folder named like the dataset), the canonical URLs.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pooch
import yaml

from src.errors import LaboratoryError

VARIABLE = "DATASETS_MIRROR"


def fetch(name, dataset, raw, own, mirror):
    """Bring every file of a dataset into the folder `raw`.

    own: the folder of the user's files; mirror: a folder, a URL, or None.
    Returns (source, note): the dataset's own source and '', or a stand-in that the mirror or params.yaml declares, and
    what it is. Raises LaboratoryError naming the file and everything that was tried.
    """
    raw = Path(raw)
    raw.mkdir(parents=True, exist_ok=True)
    mirror = folder_in(mirror, name, dataset.source.files.values())
    generated = getattr(dataset.source, "stand_in", None)
    if generated and not any(found(file, raw, own, mirror) for file in dataset.source.files.values()):
        names = ", ".join(file.name for file in dataset.source.files.values())
        return generated.model_dump(mode="json"), f"generated samples stand in for {names}, which were not found"
    stand_in = find_stand_in(name, dataset, raw, own, mirror)
    if stand_in:
        file = {"name": stand_in["file"], "urls": [], "sha256": stand_in["sha256"]}
        bring(name, file, raw, own, mirror, others={})
        return {"format": stand_in["format"], "files": {"arrays": file}}, stand_in["note"]
    files = {role: file.model_dump() for role, file in dataset.source.files.items()}
    expected = {file["sha256"]: file["name"] for file in files.values() if file["sha256"]}
    for file in files.values():
        bring(name, file, raw, own, mirror, others=expected)
    return dataset.source.model_dump(mode="json"), ""


def find_stand_in(name, dataset, raw, own, mirror):
    """What the mirror's mirror.yaml offers for a dataset whose canonical file it lacks; None when it is not needed."""
    declared = mirror_declarations(mirror).get(name)
    has_all = all(found(file, raw, own, mirror) for file in dataset.source.files.values())
    return None if has_all else declared


def found(file, *places):
    """Whether one of the places (folders, URLs or None) holds the file."""
    return any(exists(place, file.name) for place in places if place)


def folder_in(mirror, name, files):
    """The mirror's folder named like the dataset where the files lie in it; else the mirror itself."""
    inner = mirror and (f"{mirror}/{name}" if is_url(mirror) else Path(mirror, name))
    return inner if inner and any(exists(inner, file.name) for file in files) else mirror


def mirror_declarations(mirror):
    """What the mirror's mirror.yaml declares, {} where there is none."""
    if not mirror or not exists(mirror, "mirror.yaml"):
        return {}
    if is_url(mirror):
        with tempfile.TemporaryDirectory() as folder:
            return yaml.safe_load(Path(retrieve(f"{mirror}/mirror.yaml", folder, "mirror.yaml", None)).read_text())
    return yaml.safe_load((Path(mirror) / "mirror.yaml").read_text())


def is_url(place):
    return str(place).startswith(("http://", "https://"))


def exists(place, file):
    """Whether a folder or a URL holds the file."""
    if is_url(place):
        import requests

        return requests.head(f"{place}/{file}", timeout=30, allow_redirects=True).ok
    return (Path(place) / file).is_file()


def bring(dataset, file, raw, own, mirror, others):
    """Bring one file into `raw`, or raise LaboratoryError. A damaged copy is removed, and named if nothing replaces it."""
    target, tried = raw / file["name"], []
    # Nothing tells whether a file without a checksum is good or up to date: it is taken anew where it came from.
    renewed = file["sha256"] is None and any(exists(place, file["name"]) for place in (own, mirror) if place)
    if renewed:
        target.unlink(missing_ok=True)
    if target.is_file():
        fault = wrong(target, file, others)
        if not fault:
            return
        target.unlink()
        tried.append(f"{target} ({fault}; removed)")
    folders = [own] + ([mirror] if mirror and not is_url(mirror) else [])
    urls = ([f"{mirror}/{file['name']}"] if mirror and is_url(mirror) else []) + file["urls"]
    for folder in folders:
        if copy(Path(folder) / file["name"], target, file, others, tried):
            return
    for url in urls:
        try:
            retrieve(url, raw, file["name"], file["sha256"])
            return
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch raises ValueError on a bad hash
            tried.append(f"{url} ({reason(error)})")
    raise LaboratoryError(f"dataset {dataset}: no good copy of {file['name']}. Tried: {'; '.join(tried)}. "
                          f"Put the file into a folder and set {VARIABLE} to it, or try again with a network")  # fmt: skip


def copy(origin, target, file, others, tried):
    """Copy a file from a folder if it is there and good; nothing partial is ever seen under the target's name."""
    if not origin.is_file():
        tried.append(f"{origin} (not there)")
        return False
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as folder:
        partial = Path(folder) / file["name"]
        shutil.copyfile(origin, partial)
        fault = wrong(partial, file, others)
        if fault:
            tried.append(f"{origin} ({fault})")
            return False
        os.replace(partial, target)
    return True


def wrong(path, file, others):
    """Why the content at `path` is not the expected file; '' when it is (or when nobody stated a checksum)."""
    if file["sha256"] is None:
        return "empty file" if path.stat().st_size == 0 else ""
    received = pooch.file_hash(path, alg="sha256")
    if received == file["sha256"]:
        return ""
    if received in others:
        return f"swapped: this is the content of {others[received]}"
    return (
        f"damaged or another file: expected sha256 {file['sha256'][:12]}..., received {received[:12]}..., "
        f"{path.stat().st_size:,} bytes"
    )


def retrieve(url, folder, name, sha256):
    """Download through pooch: into a temporary file, checked, then renamed; a progress bar on a terminal."""
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
    known = f"sha256:{sha256}" if sha256 else None
    return pooch.retrieve(url, known, fname=name, path=folder, downloader=downloader)


def reason(error):
    return "checksum differs: damaged or another file" if isinstance(error, ValueError) else type(error).__name__
