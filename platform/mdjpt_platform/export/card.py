"""The model card: what a stranger must know before using a model, in the front matter and order that hubs show."""

from __future__ import annotations

import re
from typing import Any

import jinja2

from mdjpt_platform.plain import table_of

LICENSE = "other"
"""The corpora's licences decide what may be done with weights made from them; nobody but the owner can say."""
SHOWN = ("balanced_accuracy", "accuracy", "ccc", "r2")


def card(config: dict[str, Any], title: str, scores: list[dict[str, Any]]) -> str:
    """Markdown. `config`: of the model folder; `scores`: rows of the run's evaluation, if there was one."""
    trained, window = config["trained"], config["window"]
    worth = {mode: about["scores"] for mode, about in config["modes"].items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mdjpt_platform", "export"), autoescape=False, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined, finalize=_plain, keep_trailing_newline=True,
    )  # fmt: skip
    text = environment.get_template("card.md.j2").render(
        title=title, license=LICENSE, family=config["family"], sources=trained["sources"], fitted=trained["fitted"],
        simulated=trained["simulated"], adapted=trained.get("adapted"), labels=config["labels"], modes=worth,
        samples=round(window["seconds"] * config["rate"]), rate=config["rate"], seconds=window["seconds"],
        people=next((one["people"] for one in worth.values()), 0), scores=scores,
        overlap=bool(set(trained["sources"]) & set(trained["fitted"])),
        protocol=trained["protocol"], corpora=trained["corpora"], recipe_hash=config["recipe"]["hash"],
        steps=config["recipe"]["steps"], identity=trained["identity"], version=trained["version"], code=trained["code"],
        git=trained["git"], weights=trained["weights"],
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text)


def scores_of(folder: Any) -> list[dict[str, Any]]:
    """Rows of an evaluation of one target that a card shows: the trained encoder, no smoothing."""
    table = table_of(folder / "scores.parquet")
    chosen = table[(table["method"] == "trained") & (table["lds"] == "off") & table["metric"].isin(SHOWN)]
    return [
        {str(key): value for key, value in row.items()} for row in chosen.dropna(subset=["value"]).to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Names come from people's files: no markup, no line of a table, no end of a code span."""
    return re.sub(r"[|<>`\[\]\n\r]", " ", value) if isinstance(value, str) else value
