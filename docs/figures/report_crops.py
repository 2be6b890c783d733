"""Crops of a report page for docs/tutorials/reading-the-report.md, through a headless Chromium.

python docs/figures/report_crops.py demo/runs/demo-<identity>/report.html [--browser chromium]

The boxes are pixels of the page of `mdjpt demo` at a width of 1200: look at the pictures after the page has changed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
BOXES = {
    "report-findings": (262, 232, 1190, 688),
    "report-table": (262, 690, 1190, 1345),
    "report-subjects": (262, 1365, 1190, 2045),
    "report-confusion": (262, 3040, 1190, 3690),
    "report-training": (262, 5630, 1190, 6075),
}
"""Left, top, right, bottom."""


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--browser", default="chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        subprocess.run(
            [arguments.browser, *options, "--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
             f"--screenshot={shot}", "--window-size=1200,6500", arguments.report.resolve().as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        page = Image.open(shot).convert("RGB")
        for name, box in BOXES.items():
            page.crop(box).quantize(96).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
