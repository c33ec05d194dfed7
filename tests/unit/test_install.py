"""requirements/install.py, without installing anything."""

import ctypes
import importlib.util
import platform
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fathom_install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["fathom_install"] = module
    spec.loader.exec_module(module)
    return module


def steps(install: ModuleType, folder: Path, device: str = "cpu", **more: bool) -> list[str]:
    options = {"project": True, "tests": False} | more
    return [step.name for step in install.plan(install.Environment(folder), device, **options)]


def test_the_steps_come_in_order(install, tmp_path, monkeypatch):
    monkeypatch.setattr(install, "has_libnuma", lambda: True)
    assert steps(install, tmp_path) == ["venv", "torch", "packages", "project"]
    assert steps(install, tmp_path, tests=True)[-1] == "tests"
    assert "torch" not in steps(install, tmp_path, device="cuda")


def test_a_machine_without_libnuma_gets_the_stand_in(install, tmp_path, monkeypatch):
    monkeypatch.setattr(install, "has_libnuma", lambda: False)
    assert "libnuma" in steps(install, tmp_path)
    assert "libnuma" not in steps(install, tmp_path, device="cuda")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_stand_in_says_that_there_is_no_numa(install, tmp_path):
    (tmp_path / "lib").mkdir()
    install.build_libnuma_stub(install.Environment(tmp_path))
    assert ctypes.CDLL(str(tmp_path / "lib" / "libnuma.so.1")).numa_available() == -1


def test_a_step_that_is_done_is_known_by_its_inputs(install, tmp_path):
    environment = install.Environment(tmp_path)
    environment.python.parent.mkdir()
    environment.python.touch()
    environment.record(packages="abc")
    assert install.Environment(tmp_path).stamps == {"packages": "abc"}
    one, other = (install.Step("x", "", lambda: None, (text,)) for text in ("a", "b"))
    assert one.stamp != other.stamp


@pytest.mark.parametrize(("machine", "says"), [("aarch64", "x86-64 only"), ("x86_64", None)])
def test_only_machines_that_vllm_is_pinned_for_are_accepted(install, monkeypatch, machine, says):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    if says is None:
        install.check_machine("cuda")
        return
    with pytest.raises(install.InstallError, match=says):
        install.check_machine("cuda")


def test_a_machine_with_neither_libnuma_nor_a_compiler_is_told_what_to_install(install, monkeypatch):
    monkeypatch.setattr(install, "has_libnuma", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(install.InstallError, match="apt-get install libnuma1"):
        install.check_machine("cpu")


def test_the_gpu_decides_and_a_driver_without_one_does_not(install, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    for listed, device in (("GPU 0: NVIDIA H100", "cuda"), ("No devices were found", "cpu")):
        done = subprocess.CompletedProcess([], 0, stdout=listed)
        monkeypatch.setattr(subprocess, "run", lambda *_args, _done=done, **_kwargs: _done)
        assert install.machine_device() == device


def test_pip_is_condensed_to_what_matters(install, capsys):
    reader = install.PipReader(total=2)
    for line in (
        "Collecting torch==2.13.0 (from -r list)",
        "Downloading torch-2.13.0.whl (191.8 MB)",
        "Collecting idna==3.20",
        "Using cached idna.whl (80 kB)",
        "Installing collected packages: torch, idna",
    ):
        reader.read(line)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert "torch-2.13.0.whl (191.8 MB)" in shown[0]
    assert "unpacking" in shown[1]


def test_pips_last_error_is_kept(install):
    reader = install.PipReader(total=1)
    reader.read("ERROR: No matching distribution found for torch==9")
    assert reader.error == "No matching distribution found for torch==9"


def test_every_list_is_pinned_and_names_no_index(install):
    for name in ("cpu", "cuda", "test"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
        assert not any("://" in line or line.startswith("-") for line in lines)
    assert "torch==2.13.0+cpu" in install.pinned("cpu")
    assert not {"torchvision", "triton", "opencv-python-headless"} & install.names(install.pinned("cpu"))
