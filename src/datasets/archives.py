"""The files in a zip or tar archive, read in memory and to the end: nothing is unpacked, no checksum is passed over."""

import tarfile
import zipfile

from src.errors import LaboratoryError


def members(path, wanted, kind="zip or tar archive"):
    """{name: content} of the files whose name `wanted` accepts. Raises LaboratoryError where it is no whole `kind`."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {name: archive.read(name) for name in archive.namelist() if wanted(name)}
        with tarfile.open(path) as archive:
            files = [member for member in archive.getmembers() if member.isfile() and wanted(member.name)]
            found = {member.name: archive.extractfile(member).read() for member in files}
            check_end(archive)
            return found
    except Exception as error:  # a damaged archive can raise nearly anything
        reason = str(error).split(":\n")[0] or type(error).__name__  # tarfile tells what each compression had to say
        raise LaboratoryError(f"{path}: not a readable {kind} ({reason})") from None


def check_end(archive):
    """tarfile takes a damaged header for the end, and never gets to the checksum behind the last block of a tar.gz."""
    archive.fileobj.seek(archive.offset)
    rest = archive.fileobj.read()
    if len(rest) < tarfile.BLOCKSIZE or any(rest):
        raise tarfile.ReadError("a header is damaged or the end is missing")
