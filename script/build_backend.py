"""Builds the package by setuptools, and puts two files more into the wheel: `cpu_torch.py`, and what has it imported.

They lie beside the package in the environment, where setuptools itself cannot put a `.pth` file, least of all for a
package that is used where it lies (`pip install -e`).

Source: PEP 517, PEP 660; for RECORD the binary distribution format of the Python Packaging User Guide.
"""

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (the hooks that are as they are)

_MODULE = "metacaptioner_cpu_torch"


def build_wheel(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    """The wheel's name, in `directory`."""
    return _with_guard(directory, build_meta.build_wheel(directory, settings, metadata))


def build_editable(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    """The name of the wheel that has the package used where it lies."""
    return _with_guard(directory, build_meta.build_editable(directory, settings, metadata))


def _with_guard(directory: str, name: str) -> str:
    wheel = Path(directory) / name
    added = {
        f"{_MODULE}.py": (Path(__file__).parent / "cpu_torch.py").read_bytes(),
        f"{_MODULE}.pth": f"import {_MODULE}\n".encode(),
    }
    with zipfile.ZipFile(wheel) as built:
        contents = {entry: built.read(entry) for entry in built.infolist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in added.items():
            file.writestr(path, content)
        for entry, content in contents.items():
            if entry.filename.endswith(".dist-info/RECORD"):
                content += "".join(_recorded(*one) for one in added.items()).encode()
            file.writestr(entry, content)
    return name


def _recorded(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"
