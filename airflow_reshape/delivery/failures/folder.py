"""Where kept leads lie: a local folder, or objects under a prefix of an object store.

Files are immutable: written whole under a new name, read whole, removed. Object stores cannot append, and can rename
only by copying; locally a file appears under its name when all of it is on the disk.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from airflow_reshape.delivery.records import FailuresUnwritableError

TEMPORARY = ".tmp"


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """Tell any error of a file system as one of ours."""
    try:
        yield
    except FailuresUnwritableError:
        raise
    except Exception as error:  # noqa: BLE001  # each object store's client has errors of its own
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number) if number else type(error).__name__
        raise FailuresUnwritableError(f"the folder for failures cannot be {doing} ({why})") from None


class Folder(Protocol):
    """A tree of files, each named by its path within it, with ``/``."""

    def make(self, name: str) -> None:
        """Make a folder in it, where folders have to be made."""
        ...

    def names(self, under: str = "") -> list[str]:
        """All files below a folder in it, in order; none if the folder is not there."""
        ...

    def read(self, name: str) -> bytes | None:
        """What a file holds, or None if it is not there."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file; it is there, whole and durable, when this returns."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def tidy(self, name: str) -> None:
        """Remove a folder in it, if it is empty."""
        ...


class LocalFolder:
    """A folder of this machine. Its files are readable to their owner only, whatever the umask.

    :param path: the folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, name: str) -> None:
        """Make a folder in it, and those above it that are missing."""
        with told("made"):
            missing = []
            folder = self._path / name
            while not folder.is_dir():
                missing.append(folder)
                folder = folder.parent
            for folder in reversed(missing):
                with contextlib.suppress(FileExistsError):  # another task was quicker
                    folder.mkdir(mode=0o700)
                    folder.chmod(0o700)
                    _sync(folder.parent)

    def names(self, under: str = "") -> list[str]:
        """All files below a folder in it, in order."""
        with told("read"):
            walked = os.walk(self._path / under, onerror=_raise_unless_gone)
            found = (Path(folder) / name for folder, _, names in walked for name in names)
            return sorted(path.relative_to(self._path).as_posix() for path in found)

    def read(self, name: str) -> bytes | None:
        """What a file holds, or None if it is not there."""
        with told("read"):
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, wait for the disk, and give it its name."""
        with told("written"):
            try:
                _write(self._path / name, content)
            except FileNotFoundError:  # somebody removed the folder when it was empty
                self.make(name.rpartition("/")[0])
                _write(self._path / name, content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with told("cleaned up"):
            (self._path / name).unlink(missing_ok=True)

    def tidy(self, name: str) -> None:
        """Remove a folder in it, if it is empty."""
        with contextlib.suppress(OSError):
            (self._path / name).rmdir()


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _write(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}{TEMPORARY}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(target)
        _sync(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectFolder:
    """Objects under a prefix.

    :param files: a file system of fsspec, with its credentials.
    :param prefix: bucket and key as that file system writes them.
    """

    def __init__(self, files: Any, prefix: str) -> None:
        self._files = files
        self._prefix = prefix.rstrip("/")

    def make(self, name: str) -> None:
        """Nothing to do: a name is enough."""

    def names(self, under: str = "") -> list[str]:
        """All objects below a prefix, in order; asked of the store, not of the listing that it keeps."""
        folder = self._at(under).rstrip("/")
        with told("read"):
            self._files.invalidate_cache()
            try:
                found = self._files.find(folder)
            except FileNotFoundError:
                return []
            start = len(self._files._strip_protocol(self._prefix)) + 1  # noqa: SLF001  # as find writes names
            return sorted(path[start:] for path in found)

    def read(self, name: str) -> bytes | None:
        """What an object holds, or None if it is not there."""
        with told("read"):
            try:
                content: bytes = self._files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

    def put(self, name: str, content: bytes) -> None:
        """Write an object in one go."""
        with told("written"):
            path = self._at(name)
            try:
                self._files.pipe_file(path, content)
            except FileNotFoundError:  # a store with real folders
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with told("cleaned up"), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._at(name))

    def tidy(self, name: str) -> None:
        """Nothing to do: there are no folders."""

    def _at(self, name: str) -> str:
        return f"{self._prefix}/{name}"
