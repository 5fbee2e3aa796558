"""The wheel, built without a network and used from elsewhere."""

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from MetaCaptioner import __version__
from tests.helpers import make_clip, picture_rows, write_annotation, write_metafile
from tests.pipeline.test_current_folder import MODULES, hostile, started_in
from tests.random_model import ROOT
from tests.test_requirements import FILES

PARTS = ("MetaCaptioner", "script", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", *FILES.values())
GUARD = {"metacaptioner_cpu_torch.py", "metacaptioner_cpu_torch.pth"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    (folder / "MetaCaptioner" / "prompts" / ".hidden.swp").write_text("")
    out = tmp_path_factory.mktemp("wheel")
    build = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", out, folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *build], check=True, timeout=120)
    [made] = out.iterdir()
    return made


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which it is installed; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    into = ("--no-deps", "--no-index", "--quiet", "--target", folder, wheel)
    subprocess.run([sys.executable, "-m", "pip", "install", *into], check=True, timeout=120)
    return folder


def test_it_holds_every_file_of_the_package_and_what_vllm_needs_beside_a_cpu_build_of_torch(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.endswith("/") and ".dist-info/" not in name}
    files = (path for path in (ROOT / "MetaCaptioner").rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert names == {path.relative_to(ROOT).as_posix() for path in files} | GUARD


def test_its_record_is_right(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        [record] = [name for name in file.namelist() if name.endswith("/RECORD")]
        lines = [line.rsplit(",", 2) for line in file.read(record).decode().splitlines()]
        assert sorted(name for name, *_ in lines) == sorted(file.namelist())
        for name, digest, size in lines:
            content = file.read(name)
            told = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert name == record or (digest, size) == (f"sha256={told}", str(len(content)))


def test_its_extras_are_the_files_that_set_up_installs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        [metadata] = [name for name in file.namelist() if name.endswith("/METADATA")]
        told = message_from_bytes(file.read(metadata))
    assert told["Version"] == __version__
    wanted = [str(line) for line in told.get_all("Requires-Dist", [])]
    for extra, name in FILES.items():
        lines = (line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#"))
        pinned = sorted(line.partition(";")[0].strip() for line in lines)
        assert sorted(line.partition(";")[0] for line in wanted if f'extra == "{extra}"' in line) == pinned


def test_it_works_elsewhere_and_takes_nothing_from_there(site: Path, tmp_path: Path) -> None:
    before = {"MetaCaptioner", "runpy", "sitecustomize", "usercustomize"} | set(sys.stdlib_module_names)
    here = hostile(tmp_path / "here", [name for name in MODULES if name not in before])
    rows = [*picture_rows(tmp_path / "media", 2), {"id": 2, "video": "a.mp4"}]
    make_clip(tmp_path / "media" / "a.mp4", 12)
    write_annotation(tmp_path / "set.json", rows)
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "auto"})
    plan, out = tmp_path / "plan.jsonl", tmp_path / "Caption"

    def typed(*command: str | Path) -> str:
        return started_in(here, [site / "bin" / "metacaptioner", *command], PYTHONPATH=f"{site}:.")

    assert typed("--version") == f"metacaptioner {__version__}\n"
    by_module = [sys.executable, "-m", "MetaCaptioner", "--version"]
    assert started_in(here, by_module, PYTHONPATH=str(site)) == f"metacaptioner {__version__}\n"
    assert typed("plan", "--help").startswith("usage: metacaptioner plan --num-ranks N ")
    typed("plan", "--metafile", metafile, "--num-ranks", "1", "--output", plan)
    typed("route", "--plan", plan, "--output-dir", tmp_path / "Domain", "--engine", "scripted")
    typed("caption", "--plan", plan, "--output-dir", out, "--engine", "scripted")
    typed("score", "--data-folder", out, "--engine", "scripted")
    assert "3 ok" in typed("verify", "--plan", plan, "--data-folder", out, "--scores")
    typed("report", "--data-folder", out)
    assert b"<script" in (out / "report.html").read_bytes()
    typed("filter", "--data-folder", out, "--min-overall", "1", "--min-dim-score", "1")
    typed("export", "--data-folder", out, "--all", "--format", "jsonl", "--output", tmp_path / "exported")
    typed("build", "--format", "folder", "--input", tmp_path / "media", "--metafile", tmp_path / "built.json")
    typed("status", "--plan", plan, "--output-dir", out)


BROKEN = {
    "torch/__init__.py": ("from torch import library, version\nclass ops:\n    class torchvision: pass\n"),
    "torch/version.py": "import os\ncuda, hip = os.environ.get('CUDA') or None, None\n",
    "torch/library.py": (
        "defined = []\n"
        "class Library:\n"
        "    def __init__(self, name, kind): assert (name, kind) == ('torchvision', 'FRAGMENT')\n"
        "    def define(self, schema): defined.append(schema.partition('(')[0])\n"
    ),
    "torchaudio.py": "raise OSError('Could not load this library')\n",
    "torchcodec.py": "raise RuntimeError('Could not load libtorchcodec')\n",
    "torchvision/__init__.py": "import torchvision._meta_registrations\n",
    "torchvision/extension.py": "import os\ndef _has_ops(): return bool(os.environ.get('CUDA'))\n",
    "torchvision/_meta_registrations.py": (
        "import os, torch.library\nassert os.environ.get('CUDA') or torch.library.defined == ['nms', 'qnms']\n"
    ),
    "transformers.py": (
        "from importlib.util import find_spec\n"
        "print([name for name in ('torchaudio', 'torchcodec', 'json') if find_spec(name)])\nimport torchvision\n"
    ),
}
"""What fails as packages built for CUDA do beside a CPU build of torch."""


@pytest.mark.parametrize(("cuda", "found"), [("", ["json"]), ("13.0", ["torchaudio", "torchcodec", "json"])])
def test_beside_a_cpu_build_of_torch_what_does_not_load_is_hidden(
    site: Path, tmp_path: Path, cuda: str, found: list[str]
) -> None:
    for name, content in BROKEN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    program = (
        "import sys; sys.modules.pop('metacaptioner_cpu_torch', None)  # of this environment\n"
        "sys.meta_path[:] = [one for one in sys.meta_path if type(one).__module__ != 'metacaptioner_cpu_torch']\n"
        "before = set(sys.modules); import metacaptioner_cpu_torch\n"
        "assert set(sys.modules) - before == {'metacaptioner_cpu_torch'}\nimport transformers\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{site}", "CUDA": cuda}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{found}\n", done.stderr
