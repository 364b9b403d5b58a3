"""Builds the site of the documentation into `target/docs/site`: `python scripts/site`.

It exits with 1 for a warning of the generator, a link or an anchor that leads nowhere, and a page
that loads something from another host. Needs the extra `docs`.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import checks
import griffe
import llms
import pages

CONFIG = pages.ROOT / "zensical.toml"
SHIM = '<script src="https://unpkg.com/iframe-worker/shim" type="text/javascript"></script>'
"""What the theme loads from another host so that search works in a folder."""


def main() -> int:
    """Lays out the pages, builds them, and checks what was built."""
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]
    source = (CONFIG.parent / config["docs_dir"]).resolve()
    site = (CONFIG.parent / config["site_dir"]).resolve()
    faults = pages.lay_out(source)
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(CONFIG)]
    # The generator finds the extension for docstrings by its path, and this what it imports.
    found = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found)}
    if subprocess.run(build, check=False, env=environment).returncode:
        return 1
    for page in site.rglob("*.html"):
        _use_own_shim(site, page)
    package = griffe.load("llama3_tok", search_paths=[pages.ROOT / "python"])
    llms.write(config, source, site, package)
    faults += checks.faults(site)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{site.relative_to(pages.ROOT)}: {sum(1 for _ in site.rglob('*.html'))} pages")
    return 1 if faults else 0


def _use_own_shim(site: Path, page: Path) -> None:
    """Puts the site's own script in the place of the one that another host has."""
    text = page.read_text(encoding="utf-8")
    if SHIM in text:
        up = "../" * (len(page.relative_to(site).parts) - 1)
        own = f'<script src="{up}assets/search_in_a_folder.js"></script>'
        page.write_text(text.replace(SHIM, own), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
