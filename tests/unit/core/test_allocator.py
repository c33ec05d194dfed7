import subprocess
import sys

import pytest

HOLES = """
import sys
from fathom.core.allocator import give_large_back

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

if sys.argv[1] == "yes":
    give_large_back()
bytearray(30 << 20)  # once it is freed, glibc takes what is smaller from the heap
before = held()
large = [bytearray(b"x" * (4 << 20)) for _ in range(20)]
small = bytearray(b"y" * (1 << 17))  # at the end of the heap
del large
print(held() - before)
"""


def mebibytes_left(asked: str) -> int:
    done = subprocess.run([sys.executable, "-c", HOLES, asked], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_large_blocks_go_back_whatever_lies_behind_them():
    if mebibytes_left("no") < 20:
        pytest.skip("this C library gives them back by itself")
    assert mebibytes_left("yes") < 8
