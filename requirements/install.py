"""Installs Fathom and its pinned packages into .venv, step by step. `make install` and the Dockerfile call it.

Every step that ends leaves the hash of its inputs in .venv/fathom-install.json and is skipped while that is current: an
interrupted install goes on where it stopped, and one that is up to date costs nothing. Standard library only.
"""

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "requirements"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class InstallError(Exception):
    """The install cannot go on. The message is one line that names the problem and the fix."""


class PipReader:
    """Turns pip's output into one line that changes in place, or into a few plain lines where there is no terminal."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen = 0
        self.name = ""
        self.error = "it gave no reason"

    def read(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        if word in ("Collecting", "Processing", "Requirement"):
            self.seen += 1
            self.name = rest.removeprefix("already satisfied: ").split(" (from ")[0].rpartition("/")[2]
            self.show(self.name)
        elif word == "Progress" and (size := re.fullmatch(r"(\d+) of (\d+)", rest)):
            self.show(f"{self.name}  {int(size[1]) / 1e6:.1f} of {int(size[2]) / 1e6:.1f} MB")
        elif word == "Downloading" and re.search(r"\d{3}\.\d MB", rest):
            self.show(f"downloading {rest}", lasting=True)
        elif word == "Installing":
            self.show("unpacking", lasting=self.total > 1)
        elif word == "WARNING:" and rest.startswith("Retrying"):
            self.show(f"{self.name} no answer, trying again".lstrip(), lasting=True)
        elif word in ("ERROR:", "error:"):
            self.error = rest

    def show(self, text: str, *, lasting: bool = False) -> None:
        line = " " * 6 + (f"{self.seen:>3}/{self.total}  {text}" if self.total > 1 else text)
        if sys.stdout.isatty():
            print("\r\033[K" + line[: shutil.get_terminal_size().columns - 1], end="", flush=True)
        elif lasting:
            print(line, flush=True)

    def close(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


class Environment:
    """A venv, its pip, and the stamps of what is done in it. They lie inside: a venv that is made anew has none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.file = folder / "fathom-install.json"
        self.log = folder / "fathom-install.log"
        known = self.file.exists() and self.python.exists()  # a link to a Python that was removed does not exist
        self.stamps: dict[str, str] = json.loads(self.file.read_text()) if known else {}

    def record(self, **stamps: str) -> None:
        self.stamps |= stamps
        draft = self.file.with_suffix(".new")
        draft.write_text(json.dumps(self.stamps, indent=1))
        draft.replace(self.file)

    def create(self, pip: str) -> None:
        """Cleared if it is for another device, Python or place, or dead: two builds of vLLM cannot share a folder."""
        clear = self.file.exists() or (self.folder.exists() and not self.python.exists())
        try:
            venv.create(self.folder, clear=clear, symlinks=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise InstallError(f"no venv could be made in {self.folder}: {error}") from None
        self.stamps = {}
        self.install(pip, progress="off")  # the pip that a Python brings along may not know "raw"

    def install(self, *arguments: str, total: int = 1, progress: str = "raw") -> None:
        """Run pip. `total` is the number of packages asked for. Raises InstallError with pip's last error."""
        options = ("install", "--no-deps", "--no-input", "--disable-pip-version-check", "--progress-bar", progress)
        reader = PipReader(total)
        with (
            self.log.open("a") as log,
            subprocess.Popen(
                (self.python, "-m", "pip", *options, *arguments),
                env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as pip,
        ):
            for line in pip.stdout or ():
                log.write("" if line.startswith("Progress ") else line)
                reader.read(line)
        reader.close()
        if pip.returncode != 0:
            raise InstallError(f"pip failed: {reader.error} (its whole output is in {self.log})")


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    run: Callable[[], None]
    inputs: tuple[str, ...]

    @property
    def stamp(self) -> str:
        return hashlib.sha256("\n".join(self.inputs).encode()).hexdigest()


def plan(environment: Environment, device: str, *, project: bool, tests: bool) -> list[Step]:
    """Every step in order, done or not."""
    pins = pinned(device)
    pip, torch = (next(pin for pin in pins if pin.startswith(name)) for name in ("pip==", "torch=="))
    python = platform.python_version_tuple()[:2]
    steps = [
        Step(
            "venv",
            f"creating {environment.folder} for {device}",
            lambda: environment.create(pip),
            (str(ROOT), device, *python, pip),
        )
    ]
    if torch.endswith("+cpu"):
        steps.append(Step("torch", f"installing {torch}", lambda: install_cpu_torch(environment, torch), (torch,)))
    packages = len(names(pins))
    duration = "about 1 minute" if device == "cpu" else "about 5 minutes"
    steps.append(list_step("packages", f"installing {packages} pinned packages ({duration})", environment, device))
    if device == "cpu" and not has_libnuma():
        source = (LISTS / "libnuma_stub.c").read_text()
        build = Step("libnuma", "building a stand-in for libnuma1", lambda: build_libnuma_stub(environment), (source,))
        steps.append(build)
    if project:
        manifest = (ROOT / "pyproject.toml").read_text()
        options = ("--no-build-isolation", "--editable", str(ROOT))
        steps.append(Step("project", "installing Fathom itself", lambda: environment.install(*options), (manifest,)))
    if tests:
        steps.append(list_step("tests", f"installing {len(pinned('test'))} packages for tests", environment, "test"))
    return steps


def pinned(name: str) -> list[str]:
    return [line for line in (LISTS / f"{name}.txt").read_text().splitlines() if not line.startswith("#")]


def names(pins: list[str]) -> set[str]:
    return {pin.partition("==")[0] for pin in pins}


def list_step(name: str, title: str, environment: Environment, source: str) -> Step:
    pins = pinned(source)
    file = str(LISTS / f"{source}.txt")
    return Step(name, title, lambda: environment.install("--requirement", file, total=len(names(pins))), tuple(pins))


def install_cpu_torch(environment: Environment, torch: str) -> None:
    """PyTorch's index is asked for this one package: beside the others, it would be asked for each of them."""
    try:
        environment.install(torch)
    except InstallError:
        print(f"      not found in pip's sources, trying {TORCH_CPU_INDEX}", flush=True)
    else:
        return
    try:
        environment.install("--retries", "2", "--index-url", TORCH_CPU_INDEX, torch)
    except InstallError:
        raise InstallError(
            f"{torch} is neither in pip's sources nor at {TORCH_CPU_INDEX}: check the network, or name a folder that "
            f"holds the wheel with PIP_FIND_LINKS=/that/folder (pip's output is in {environment.log})"
        ) from None


def machine_device() -> str:
    """'cuda' where NVIDIA's driver lists a GPU, else 'cpu'."""
    driver = shutil.which("nvidia-smi")
    if driver is None:
        return "cpu"
    listed = subprocess.run([driver, "-L"], capture_output=True, text=True, check=False)
    return "cuda" if listed.returncode == 0 and "GPU " in listed.stdout else "cpu"


def has_libnuma() -> bool:
    """Linked by vLLM's CPU kernels, in no wheel."""
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        return False
    return True


def build_libnuma_stub(environment: Environment) -> None:
    """See libnuma_stub.c. The server loads it from here where the system has none."""
    options = ("-shared", "-fPIC", "-Wl,-soname,libnuma.so.1", f"-Wl,--version-script,{LISTS / 'libnuma_stub.map'}")
    target = environment.folder / "lib" / "libnuma.so.1"
    command = ("cc", *options, "-o", str(target), str(LISTS / "libnuma_stub.c"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError("a system package is missing, and cc could not stand in for it: apt-get install libnuma1")


def check_machine(device: str) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise InstallError(f"this is {sys.platform} on {platform.machine()}; vLLM is pinned for Linux on x86-64 only")
    missing = [] if importlib.util.find_spec("ensurepip") else ["python3-venv"]
    if device == "cpu":
        flags = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if flags and "avx2" not in flags[1].split():
            raise InstallError("this processor has no AVX2, without which vLLM does not run on a CPU")
        if not has_libnuma() and not shutil.which("cc"):
            missing.append("libnuma1")
    if missing:
        raise InstallError(f"a system package is missing: apt-get install {' '.join(missing)}")


def run(arguments: argparse.Namespace) -> None:
    environment = Environment(arguments.venv)
    device = arguments.device or environment.stamps.get("device") or machine_device()
    steps = plan(environment, device, project=not arguments.no_project, tests=arguments.tests)
    whole = environment.stamps.get("venv") == steps[0].stamp
    pending = [step for step in steps if not whole or environment.stamps.get(step.name) != step.stamp]
    if not pending:
        return
    check_machine(device)
    started = time.monotonic()
    for number, step in enumerate(pending, 1):
        print(f"[{number}/{len(pending)}] {step.title}", flush=True)
        step.run()
        environment.record(device=device, **{step.name: step.stamp})
    print(f"Installed for {device} in {time.monotonic() - started:.0f} s.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Install Fathom and its pinned packages into a venv.")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="default: what the venv has, else what nvidia-smi says"
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: .venv in the checkout")
    parser.add_argument("--tests", action="store_true", help="also what the tests need")
    parser.add_argument("--no-project", action="store_true", help="the packages only")
    try:
        run(parser.parse_args())
    except InstallError as error:
        sys.exit(f"Cannot install: {error}.")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next install goes on from here.")


if __name__ == "__main__":
    main()
