"""What a result says about where it was made."""

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def processors() -> list[int]:
    """The processors that may be used; none where processes can't be pinned."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def total_memory() -> int:
    """Bytes of memory; 0 if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def memory_limit() -> int:
    """Bytes that one peer may take: half of what there is."""
    return total_memory() // 2 if sys.platform == "linux" else 0


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def caches() -> dict[str, str]:
    """The sizes of a processor's caches for data, by level; none where the system does not say."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (folder / name).read_text().strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def describe(pinned: list[int] | None) -> dict[str, Any]:
    """The machine."""
    try:
        from llama3_tok._core import cpu_features

        features = cpu_features()
    except ImportError:
        features = []
    return {
        "processor": processor(),
        "features": features,
        "caches": caches(),
        "cores": len(processors()) or os.cpu_count(),
        "pinned_to": pinned or None,
        "memory": total_memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def core_hash() -> str:
    """The SHA-256 of the compiled core that is imported, which need not be that of the commit."""
    from llama3_tok import _core

    return hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()


def stale_core(root: Path) -> bool:
    """Whether the core that is imported is older than the sources of the working tree."""
    from llama3_tok import _core

    made = Path(_core.__file__).stat().st_mtime
    return any(file.stat().st_mtime > made for file in (root / "rust").rglob("*.rs"))


def commit(root: Path) -> str:
    """The commit of the working tree, with `+` if files differ from it."""
    try:
        call = ["git", "-C", str(root), "rev-parse", "HEAD"]
        name = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
        call = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")
