"""The kernels of processors other than this one, in an emulator, against the portable ones."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


@pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)), reason=f"needs {COMPILER} and {EMULATOR}"
)
def test_arm64_agrees_with_the_portable_kernels(tmp_path):
    source, program = ROOT / "tests" / "native" / "kernels.cpp", tmp_path / "kernels"
    options = ["-std=c++17", "-O2", "-static", f"-I{ROOT / 'ext'}"]
    subprocess.run([COMPILER, *options, source, "-o", program], check=True)
    run = subprocess.run([EMULATOR, program], capture_output=True, text=True)
    assert run.stdout.split() == ["neon", "baseline"]
    assert run.returncode == 0
