"""One optimiser step: K episodes, whatever the number of processes.

Exactness: the contrast is a mean over episodes, which DDP's averaging keeps; the alignment compares all subjects of
the step, so its statistics are summed over processes (Context.all_reduce) before the logarithm.
Where a process has several episodes their graphs would not fit into memory together, so the slopes of the alignment
with respect to the centroids are computed first without graphs, then every episode is passed again and pushed back with
those slopes (gradient caching, Gao et al. 2021): the same numbers, one episode's memory, one more forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mdjpt_model.losses import CONTRASTS, FORMS, Form, Slots, centroids
from mdjpt_model.model import MdJPT
from mdjpt_platform.config import RunConfig
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.train.context import Context


@dataclass(frozen=True)
class Terms:
    """What one episode contributes."""

    contrast: Tensor
    """[corpora] contrast of each."""
    gamma: Tensor
    """[2 x corpora, F, S, S] centroids, corpus by corpus."""


class EpisodeTerms(nn.Module):
    """The model seen as a function of an episode, so that DDP wraps one forward call a backward call."""

    def __init__(self, model: MdJPT, run: RunConfig, channels: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.model, self.channels = model, channels
        self.contrast, self.temperature = CONTRASTS[run.contrast.kind], run.contrast.temperature
        self.autocast = run.optim.precision == "bfloat16"

    def forward(self, episode: Episode) -> Terms:
        """Windows of every corpus through the encoder and to the two statistics."""
        switches = self.model.spec.chosen
        contrast, gamma = [], []
        for name, windows in episode.windows.items():
            side = torch.arange(len(windows)) // (len(windows) // 2)
            with torch.autocast(windows.device.type, torch.bfloat16, enabled=self.autocast):
                out = self.model(windows, self.channels[name], side)
            assert out.embedding is not None
            contrast.append(self.contrast(out.embedding, episode.labels[name], self.temperature))
            gamma.append(centroids(out.latent, 2, switches.covariance, switches.covariance_diagonal))
        return Terms(torch.stack(contrast), torch.cat(gamma))


@dataclass(frozen=True)
class Losses:
    """Global values of one step."""

    total: float
    alignment: float
    contrast: dict[str, float]


@dataclass(frozen=True)
class Stepper:
    """Computes losses and leaves gradients; `module` is EpisodeTerms, maybe wrapped by Context.wrap."""

    module: nn.Module
    run: RunConfig
    context: Context

    @property
    def bare(self) -> EpisodeTerms:
        """The module without DDP."""
        inner = self.module.module if isinstance(self.module, DistributedDataParallel) else self.module
        assert isinstance(inner, EpisodeTerms)
        return inner

    def backward(self, episodes: Sequence[Episode]) -> Losses:
        """Accumulate the gradients of the whole step. `episodes` are this process' share, by slot."""
        names = list(self.bare.channels)
        form, slots = FORMS[self.run.alignment.form], self._slots(episodes, len(names))
        if len(episodes) == 1:
            terms: Terms = self.module(episodes[0])
            alignment, contrast = self._share(form, slots, terms.gamma, terms.contrast[None])
            (self._contrast(terms.contrast) + self.run.alignment.weight * alignment).backward()
        else:
            with torch.no_grad():
                ahead = [self.bare(episode) for episode in episodes]
            gamma = torch.cat([terms.gamma for terms in ahead]).requires_grad_()
            alignment, contrast = self._share(form, slots, gamma, torch.stack([t.contrast for t in ahead]))
            (slopes,) = torch.autograd.grad(alignment, gamma)
            for number, (episode, slope) in enumerate(zip(episodes, slopes.chunk(len(episodes)), strict=True)):
                last = number == len(episodes) - 1
                wrapped = isinstance(self.module, DistributedDataParallel)
                with self.module.no_sync() if wrapped and not last else nullcontext():  # type: ignore[operator]
                    terms = self.module(episode)
                    surrogate = self.run.alignment.weight * (slope * terms.gamma).sum()
                    (self._contrast(terms.contrast) / len(episodes) + surrogate).backward()
        aligned = alignment.item()
        total = self._contrast(contrast).item() + self.run.alignment.weight * aligned
        return Losses(total, aligned, dict(zip(names, contrast.tolist(), strict=True)))

    def _contrast(self, by_corpus: Tensor) -> Tensor:
        joined = by_corpus.sum() if self.run.contrast.over_corpora == "sum" else by_corpus.mean()
        return self.run.contrast.weight * joined

    def _share(self, form: Form, slots: Slots, gamma: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
        """Alignment of the whole step, and the mean contrast of each corpus, in one exchange."""
        packed = form.pack(gamma, slots)
        logged = contrast.detach().sum(0).to(packed.dtype) / self.run.train.episodes
        summed = self.context.all_reduce(torch.cat([packed, logged]))
        alignment = form.loss(summed[: len(packed)], slots, gamma.shape[1])
        return alignment, summed[len(packed) :].detach()

    def _slots(self, episodes: Sequence[Episode], corpora: int) -> Slots:
        each = 2 * corpora
        index = torch.cat([torch.arange(each) + each * episode.row.slot for episode in episodes])
        corpus = (torch.arange(each) // 2).repeat(len(episodes))
        return Slots(index, corpus, each * self.run.train.episodes, corpora)
