"""Makes an environment with a CPU build of torch import cleanly; run by `make setup` after the install.

vLLM for CPUs requires torchvision, torchaudio and torchcodec, and package indexes offer them built for CUDA.
Beside a CPU build of torch the last two raise on import, which breaks `import vllm`: they are removed, since
nothing here needs them. torchvision is needed and stays, with a hook that makes its import succeed (see
`torchvision_cpu_hook.py`). Where all builds match, as on a machine with GPUs, this does nothing; running it
again changes nothing.
"""

import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import torchvision_cpu_hook

REMOVABLE = ("torchaudio", "torchcodec")
HOOK_SOURCE = Path(torchvision_cpu_hook.__file__)
HOOK_MODULE = "cosmos3_torchvision_cpu_hook"


def torch_is_cpu_build() -> bool:
    """Whether there is a torch and it was built for no accelerator."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return not any(getattr(torch.version, toolkit, None) for toolkit in ("cuda", "hip", "xpu"))


def is_cuda_build(package: str) -> bool:
    """Whether `package` is installed and one of its compiled files asks for CUDA's libraries."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return False
    compiled = (Path(str(file.locate())) for file in files if ".so" in file.suffixes)
    return any(b"libcudart" in path.read_bytes() for path in compiled if path.is_file())


def remove_cuda_builds() -> list[str]:
    """Uninstall those of the removable packages that were built for CUDA, and say what was done."""
    found = [package for package in REMOVABLE if is_cuda_build(package)]
    if not found:
        return []
    command = [sys.executable, "-m", "pip", "uninstall", "-y", *found]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [f"removed {' and '.join(found)} (built for CUDA)"]


def torchvision_needs_hook() -> bool:
    """Whether torchvision is installed and its compiled operators do not load beside this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    return not torchvision_cpu_hook.operators_load(str(Path(spec.origin).parent))


def place_hook(needed: bool) -> list[str]:
    """Install the hook, bring it up to date or take it away, and say what was done."""
    site_packages = Path(sysconfig.get_path("purelib"))
    contents = {
        site_packages / f"{HOOK_MODULE}.py": HOOK_SOURCE.read_text(encoding="utf-8"),
        site_packages / f"{HOOK_MODULE}.pth": f"import {HOOK_MODULE}; {HOOK_MODULE}.install()\n",
    }
    if needed:
        stale = [path for path in contents if not path.is_file() or path.read_text("utf-8") != contents[path]]
        for path in stale:
            path.write_text(contents[path], encoding="utf-8")
        return ["installed the torchvision import hook"] if stale else []
    present = [path for path in reversed(contents) if path.is_file()]
    for path in present:
        path.unlink()
    return ["removed the torchvision import hook"] if present else []


def main() -> None:
    """Do what this environment needs and print one line about it."""
    if torch_is_cpu_build():
        done = remove_cuda_builds() + place_hook(torchvision_needs_hook())
    else:
        done = place_hook(needed=False)
    print("cpu_stack:", ", ".join(done) or "nothing to do")


if __name__ == "__main__":
    main()
