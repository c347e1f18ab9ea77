"""Pack what a bare machine with a card lacks into one archive: run by `make gpu-bundle`.

Such a machine has Python 3.12 for x86-64 Linux with torch, transformers and pytest, and no network. `python -m
benchmarks.gpu --bundle out/gpu-bundle.tar.xz` unpacks the archive there; elsewhere it can be unpacked by hand into a
folder on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PACKAGES = {
    "annotated-types": "0.8.0",
    "av": "18.1.0",
    "diffusers": "0.42.1",
    "fa3-fwd": "0.0.3",
    "importlib-metadata": "8.9.0",
    "pydantic": "2.12.5",
    "pydantic-core": "2.41.5",
    "typing-inspection": "0.4.2",
}
PYTHON = "3.12"
# pip matches each of these exactly, and the packages are built for different versions of glibc.
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 27, 28, 31, 34)))
LARGEST_BYTES = 48 * 1024**2
LEFT_OUT = {"tests", "testing", "__pycache__"}
LEFT_OUT_SUFFIXES = {".pyc", ".pyi", ".pxd", ".pyx"}
OUTPUT = Path("out/gpu-bundle.tar.xz")


def main() -> None:
    """Download the wheels, unpack them into one tree, pack it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--without", nargs="+", default=[], choices=PACKAGES, metavar="PACKAGE", help="leave these out")
    arguments = parser.parse_args()
    wanted = {name: version for name, version in PACKAGES.items() if name not in arguments.without}
    with tempfile.TemporaryDirectory() as folder:
        wheels, tree = Path(folder, "wheels"), Path(folder, "tree")
        missing = [f"{name}=={version}" for name, version in wanted.items() if not downloaded(name, version, wheels)]
        if missing:
            sys.exit(f"cannot be downloaded: {', '.join(missing)}; `--without NAME` packs the others")
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, tree)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        pack(tree, arguments.output)
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size / 1024**2:.1f} MiB, {', '.join(wanted)}")
    if size > LARGEST_BYTES:
        sys.exit(f"more than {LARGEST_BYTES / 1024**2:.0f} MiB, which is what can be carried")


def downloaded(name: str, version: str, folder: Path) -> bool:
    """Whether pip finds the wheel; what it says otherwise is printed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    answer = subprocess.run([*command, f"{name}=={version}"], capture_output=True, text=True, check=False)
    if answer.returncode:
        print(answer.stderr, file=sys.stderr)
    return answer.returncode == 0


def unpack(wheel: Path, tree: Path) -> None:
    """Put the files of a wheel that are needed into the tree."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree, [name for name in archive.namelist() if needed(PurePosixPath(name))])


def needed(path: PurePosixPath) -> bool:
    """Whether a program that imports the package may read this file."""
    return not LEFT_OUT & set(path.parts) and path.suffix not in LEFT_OUT_SUFFIXES


def pack(tree: Path, output: Path) -> None:
    """Pack a tree with equal bytes for equal content."""
    with tarfile.open(output, "w:xz", preset=9) as archive:
        for path in files_of(tree):
            archive.add(path, str(path.relative_to(tree)), recursive=False, filter=_anonymous)


def files_of(tree: Path) -> Iterator[Path]:
    """Every file, in a fixed order."""
    return (path for path in sorted(tree.rglob("*")) if path.is_file())


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
