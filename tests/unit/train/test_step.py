"""The step's joint losses in one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from conftest import MODEL
from mdjpt_model.losses import FORMS, alignment, centroids
from mdjpt_platform.config import Config
from mdjpt_platform.data.episode import assemble
from mdjpt_platform.families import new_model
from mdjpt_platform.runfile import parse
from mdjpt_platform.train.context import Context
from mdjpt_platform.train.prepared import open_stores, prepare_plan
from mdjpt_platform.train.step import EpisodeTerms, Stepper


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("switches", [{}, {"covariance_diagonal": "zero"}, {"covariance": "scrambled"}])
def test_alignment_is_that_of_whole_matrices(tiny: Config, form: str, switches: dict[str, Any]) -> None:
    """Whatever travels of them: half, with variances or without."""
    tree = {**tiny.run.model_dump(mode="json"), "exec": tiny.exec.model_dump(mode="json")}
    tree |= {"alignment": {"form": form}, "model": {**MODEL, "switches": switches}, "train": {"episodes": 2}}
    config = parse(tree)
    prepared = prepare_plan(config.run, open_stores(config, config.run.sources, verify=False))
    model = new_model(config.run)
    terms = EpisodeTerms(model, config.run, prepared.channels, prepared.plan.windows)
    episodes = [assemble(row, prepared.stores, prepared.length) for row in prepared.plan.rows(0, 1)]
    found = Stepper(terms, config.run, Context()).backward(episodes)
    gamma, owner = [], []
    for episode in episodes:
        for number, (name, windows) in enumerate(episode.windows.items()):
            sides = torch.arange(2).repeat_interleave(len(windows) // 2)
            latent = model(windows, prepared.channels[name], sides).latent
            chosen = model.spec.chosen
            gamma.append(centroids(latent, 2, chosen.covariance, chosen.covariance_diagonal))
            owner += [number, number]
    expected = alignment(torch.cat(gamma), form, torch.tensor(owner)).item()
    assert len(episodes) == 2 and expected > 0
    assert found.joint == {"alignment": pytest.approx(expected, rel=1e-5)}
    own = sum(found.contrast.values())
    assert found.total == pytest.approx(own + config.run.alignment.weight * expected, rel=1e-5)
