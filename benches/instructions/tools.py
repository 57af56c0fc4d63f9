"""What both commands need before they can measure."""

import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def need(program, package):
    if not shutil.which(program):
        subprocess.run(["apt-get", "install", "-qqy", package], stdout=subprocess.DEVNULL, check=True)


def build():
    command = ["cargo", "build", "--release", "--locked", "--offline", "--bin", "forecourt"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target/release/forecourt"
