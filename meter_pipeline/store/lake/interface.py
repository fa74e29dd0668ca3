"""What a lake needs of the file system that it lives on.

A file appears whole or not at all, and is never changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any


class Files(ABC):
    """Whole files by names relative to a root, with `/` between folders."""

    url: str

    @abstractmethod
    def find(self, folder: str) -> list[str]:
        """Names of the files anywhere below `folder`, sorted; none when it does not exist."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            FileNotFoundError: There is none of that name.
        """

    @abstractmethod
    def source(self, name: str, size: int | None = None) -> Any:
        """The file in a form that PyArrow's readers accept, a path or an open file; its size spares asking for it."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file."""

    @abstractmethod
    def writing(self, name: str) -> Any:
        """A context manager with a binary file; the file takes its name, over any old one, when the block ends well."""

    @abstractmethod
    def delete(self, names: Iterable[str]) -> None:
        """Removes files, if they exist."""

    @abstractmethod
    def find_old(self, folder: str, before: float) -> list[str]:
        """Names of the files anywhere below `folder` that were last written before a time (seconds since 1970)."""

    @abstractmethod
    def adopt(self, name: str, new: str) -> None:
        """Gives a file a second name, without a copy where the file system can."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """The address by which other engines open the file."""

    @abstractmethod
    def forget(self) -> None:
        """Forgets contents that are kept in memory, so that every file is read from where it is."""
