"""Which process this is, among those that share a database."""

import os
import socket
from pathlib import Path

import psutil


def server_id() -> str:
    """Of this process: no other one, before or beside it, has the same."""
    start = psutil.Process().create_time()
    return f"{_place()}/{os.getpid()}/{start:.2f}"


def _place() -> str:
    """Where process ids mean the same as here: this run of this kernel, and this namespace of it. The first namespace
    has the same name on every machine, and machines may share a name, too."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"


def ended_here(server: str) -> bool:
    """Whether a server of this place is gone for certain."""
    place, pid, start = server.rsplit("/", 2)
    if place != _place():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != start
    except psutil.NoSuchProcess:
        return True
