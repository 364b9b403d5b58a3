"""The pages of the site, laid out for the generator: which files they are, and where links lead.

Pages stand in `docs/`, and a few at the root of the repository, where their links name files of the
repository. Here each link gets the place that its target has on the site. One that leads to nothing
of the site is an error.
"""

import re
import shutil
from pathlib import Path
from posixpath import normpath, relpath

from blocks import of_page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")

OUTSIDE = {
    "README.md": "index.md",
    "docs": "index.md",
    "DESIGN.md": "design/index.md",
    "docs/design": "design/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "SECURITY.md": "security.md",
    "THIRD-PARTY.md": "third-party.md",
    "bench/README.md": "benchmarks.md",
    "bench": "benchmarks.md",
}
"""Where files and folders outside `docs/` stand on the site."""

FILES = ("docs/**/*.*", "bench/results/**/*.*", "examples/*.py")


def places(root: Path = ROOT) -> dict[str, str]:
    """The place on the site of each file of the repository that it has."""
    found = dict(OUTSIDE)
    for pattern in FILES:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if path.is_file() and path.suffix != ".toml":
                found[name] = _place(name)
    return found


def _place(name: str) -> str:
    """Where the site has a file: pages of the same name as a report would take its place."""
    folder, _, rest = name.partition("/")
    if folder != "docs":
        return f"{name.removesuffix('.py')}.md" if name.endswith(".py") else name
    return f"reports/{rest}" if rest.endswith((".html", ".json")) else rest


def lay_out(folder: Path, root: Path = ROOT) -> list[str]:
    """Writes all pages into a folder; gives the links that lead nowhere."""
    shutil.rmtree(folder, ignore_errors=True)
    known, faults = places(root), []
    for name, place in known.items():
        source, target = root / name, folder / place
        if source.is_dir() or name == "README.md":
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            text = source.read_text(encoding="utf-8")
            target.write_text(page(text, name, known, faults), encoding="utf-8")
        elif place.endswith(".md"):
            text = source.read_text(encoding="utf-8")
            kind = "python" if name.endswith(".py") else "text"
            target.write_text(f"# {source.name}\n\n```{kind}\n{text}```\n", encoding="utf-8")
        else:
            shutil.copy(source, target)
    return faults


def page(text: str, name: str, known: dict[str, str], faults: list[str]) -> str:
    """A page of the repository as one of the site."""
    here = known[name]

    def moved(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        if not path or ":" in path:
            return match[0]
        target = normpath(f"{name.rpartition('/')[0] or '.'}/{path}")
        if target not in known:
            faults.append(f"{name}: {path} leads to nothing that the site has")
            return match[0]
        return f"]({relpath(known[target], here.rpartition('/')[0] or '.')}{anchor})"

    lines = [line if code else LINK.sub(moved, line) for line, code in of_page(text)]
    return "\n".join(lines).rstrip() + "\n"
