"""The pages run: every command and program on them, in order, in a folder like a clone (tests/docs_blocks.py)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_slurm import SCONTROL, SRUN

from docs_blocks import PAGES, ROOT, blocks, clone, environment, run_page, runnable, slow

pytestmark = pytest.mark.timeout(1800)
SBATCH = """#!/usr/bin/env bash
# Runs the script at once, as Slurm does later, in the folder it was submitted from.
while [[ "$1" == -* ]]; do shift; done
export SLURM_SUBMIT_DIR="$PWD"
bash "$@" >> slurm-77.out 2>&1 || { cat slurm-77.out >&2; exit 1; }
echo "Submitted batch job 77"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader's shell; what is left of their jobs is ended afterwards."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "sbatch": SBATCH}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    mark = f"mark-{uuid.uuid4()}"
    yield environment(str(folder)) | {
        "MARK": mark, "CALLS": str(tmp_path / "calls"), "MDJPT_PYTHON": sys.executable, "MDJPT_CLUSTER_WAIT": "120",
        "SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "2",
    }  # fmt: skip
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                os.kill(int(process.name), 9)
        except OSError:
            continue


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * slow(page), id=page.relative_to(ROOT).as_posix())
        for page in PAGES
        if runnable(page)
    ],
)
def test_page(page: Path, tmp_path: Path, site: dict[str, str]) -> None:
    ran = run_page(page, clone(tmp_path / "clone"), site)
    assert len(ran) == sum(block.runs for block in blocks(page))


def test_a_block_that_fails_and_an_output_that_differs_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    folder = clone(tmp_path / "clone")
    page.write_text(
        "```bash\necho a > x\n```\n\n```python\nprint(open('x').read())\n```\n\n<!-- output -->\n```text\na\n```\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("docs_blocks.ROOT", tmp_path)
        assert len(run_page(page, folder, environment())) == 2
        page.write_text(page.read_text().replace("text\na", "text\nb"))
        with pytest.raises(AssertionError, match=r"page\.md:10: the page shows"):
            run_page(page, folder, environment())
        page.write_text("```bash\nfalse | true\n```\n")
        with pytest.raises(AssertionError, match="exit 1"):
            run_page(page, folder, environment())


@pytest.mark.slow
def test_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    mkdocs = shutil.which("mkdocs", path=str(Path(sys.executable).parent))
    if mkdocs is None:
        pytest.skip("`make docs` installs what builds the site")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    loaded = re.compile(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//[^\"> ]+|url\((?:https?:)?//")
    for path in [*pages, *(tmp_path / "site").rglob("*.css")]:
        assert loaded.findall(path.read_text(encoding="utf-8")) == [], path
    assert "<math" in (tmp_path / "site" / "method.html").read_text(encoding="utf-8")
    assert "run: no" not in (tmp_path / "site" / "studies.html").read_text(encoding="utf-8")
