"""A machine as a platform makes it from the files of this repository: root, user, mounts, environment, command.

Strategy: no engine is needed. The root is put together as the Dockerfile says (what it copies is copied; what it installs are
this test's own libraries, bound in their place), mounted read-only in a namespace of its own, and entered by `chroot` as the
user that the platform names. Paths, users and commands are therefore the real ones.
Limits: memory and CPU are not bounded; what an image's base has is what this machine has in /usr.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.network import Namespace
from tests.deploy.test_images import ROOT, Dockerfile

READY_S_MAX = 30.0
BASE_PREFIX = Path(sys.base_prefix).resolve()
BASE_PYTHON = Path(sys.executable).resolve()
VENV = Path(sys.prefix)
HOST_FOLDERS = ("bin", "sbin", "lib", "lib64")
HOST_ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ssl", "localtime")


class Machine:
    """A root folder, what is mounted into it, and the processes that run there."""

    def __init__(self, folder: Path, namespace: Namespace, address: str, *, names: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.address = address
        self._namespace = namespace
        self._mounts: list[tuple[str, str, bool]] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.log = folder / "log"
        self.root = folder / "root"
        for name in ("dev", "proc", "tmp", "etc", "usr", "run"):
            (self.root / name).mkdir(parents=True)
        for name in HOST_FOLDERS:
            if (host := Path("/", name)).is_symlink():
                (self.root / name).symlink_to(host.readlink())
        for part in Path("/usr").iterdir():
            if part.name != "local" and part.is_dir() and not part.is_symlink():
                self.mount(part, f"/usr/{part.name}")
        for name in HOST_ETC:
            if (host := Path("/etc", name)).is_dir():
                shutil.copytree(host, self.root / "etc" / name, symlinks=True)
            elif host.exists():
                shutil.copy(host, self.root / "etc" / name)
        hosts = {"localhost": "127.0.0.1"} | dict(names or {})
        (self.root / "etc/hosts").write_text("".join(f"{ip} {name}\n" for name, ip in hosts.items()))
        for path in {BASE_PREFIX, VENV, Path(sysconfig.get_path("stdlib")).resolve()}:
            if not path.is_relative_to("/usr") or path.is_relative_to("/usr/local"):
                self.mount(path, str(path))

    def mount(self, source: Path, target: str, *, is_writable: bool = False) -> None:
        """Bind `source` at `target`, read-only unless it is said."""
        place = self.root / target.lstrip("/")
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        self._mounts.append((str(source), str(place), is_writable))

    def install(self, dockerfile: Dockerfile) -> None:
        """What the image holds: its copies at their places, the virtual environment at /venv."""
        workdir = dockerfile.arguments("WORKDIR")[-1]
        for sources, destination in dockerfile.copies():
            place = self.root / os.path.join(workdir, destination).lstrip("/")
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
                else:
                    target = place / Path(source).name if destination.endswith(("/", ".")) else place
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, target)
                    target.chmod(0o755)
        venv = self.root / "venv"
        (venv / "bin").mkdir(parents=True)
        shutil.copy(VENV / "pyvenv.cfg", venv)
        for name in ("python", "python3"):
            (venv / "bin" / name).symlink_to(BASE_PYTHON)
        self.mount(VENV / "lib", "/venv/lib")

    def start(
        self, command: Sequence[str], env: Mapping[str, str], *, user: int = 0, group: int = 0, cwd: str = "/"
    ) -> "Started":
        """Run `command` in the machine as `user`, with `env` and nothing else of ours."""
        lines = [f"mount --rbind '{self.root}' '{self.root}'"]
        for source, place, is_writable in self._mounts:
            lines.append(f"mount --bind '{source}' '{place}'")
            if not is_writable:
                lines.append(f"mount -o remount,bind,ro '{place}'")
        lines += [f"mount --rbind /dev '{self.root}/dev'", f"mount -t proc proc '{self.root}/proc'"]
        if not any(place.startswith(f"{self.root}/tmp/") for _, place, _ in self._mounts):  # a checkout in /tmp stays in sight
            lines.append(f"mount -t tmpfs -o mode=1777 tmpfs '{self.root}/tmp'")
        lines.append(f"mount -o remount,bind,ro '{self.root}'")
        script = " && ".join(lines)
        identity = [f"--userspec={user}:{group}", f"--groups={group}"] if user else []
        enter = ["chroot", *identity, str(self.root), "env", "-i", "-C", cwd, *(f"{name}={value}" for name, value in env.items())]
        isolate = ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{script} && exec "$@"', "sh"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._namespace.enter, *isolate, *enter, *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._processes.append(process)
        return Started(self, process)

    def run(self, command: Sequence[str], env: Mapping[str, str], **options: Any) -> str:
        """Run to its end, which must be good; what it printed."""
        before = self.log.stat().st_size if self.log.exists() else 0
        status = self.start(command, env, **options).wait(60)
        told = self.log.read_bytes()[before:].decode(errors="replace")
        assert status == 0, f"{' '.join(command)} ended with {status}:\n{told}"
        return told

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


class Started:
    """A process in a machine."""

    def __init__(self, machine: Machine, process: subprocess.Popen[bytes]) -> None:
        self.machine = machine
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def stop(self, number: signal.Signals, within_s: float) -> int:
        """Its exit status after a signal, within what the platform grants."""
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def until(self, is_so: Any, within_s: float = READY_S_MAX) -> None:
        """Wait until `is_so()`, while the process runs."""
        until_s = time.monotonic() + within_s
        while not is_so():
            told = self.machine.log.read_text(errors="replace")[-4000:]
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{told}"
            assert time.monotonic() < until_s, told
            time.sleep(0.05)
