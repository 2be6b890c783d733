"""One optimiser step: K episodes, whatever the number of processes.

Exactness: the contrast inside an episode is a mean over episodes, which DDP's averaging keeps; the alignment compares
all subjects of the step and the affect contrast all its windows, so what they compare is summed over processes
(Context.all_reduce) before their losses are taken: one exchange a step, whose gradient needs no second one, because
every process takes the same losses of the same sum. What is random in a forward pass (dropout, augmentation) is drawn
from the episode's own number, so it does not depend on the process either.
Where a process has several episodes their graphs would not fit into memory together, so the slopes of the joint losses
with respect to what each episode contributes are computed first without graphs, then every episode is passed again and
pushed back with those slopes (gradient caching, Gao et al. 2021): the same numbers, one episode's memory, one more
forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mdjpt_model.adversary import Adversary
from mdjpt_model.affect import on_grid, soft_affect_contrast
from mdjpt_model.emod.augment import augment
from mdjpt_model.losses import CONTRASTS, FORMS, Slots, centroids
from mdjpt_platform.config import RunConfig
from mdjpt_platform.data.episode import Episode
from mdjpt_platform.data.plan import Row
from mdjpt_platform.families import FAMILIES
from mdjpt_platform.train.context import Context, Notice

ADVERSARIAL = "adversarial"
"""The form of alignment that is no statistic of the step but an opponent (mdjpt_model/adversary.py)."""


@dataclass(frozen=True)
class Terms:
    """What one episode contributes."""

    contrast: Tensor
    """[corpora] contrast of each; [0] without one."""
    gamma: Tensor
    """[2 x corpora, F, S, S] centroids, corpus by corpus; [0] without alignment."""
    embedding: Tensor
    """[B, E] windows of all corpora, each corpus at its own place, zeros where it has fewer; [0] without affect."""
    adversary: Tensor
    """Loss of the adversary; [0] without one."""


class EpisodeTerms(nn.Module):
    """The model seen as a function of an episode, so that DDP wraps one forward call a backward call.

    `channels` and `windows` (Plan.windows) by corpus.
    """

    def __init__(
        self, model: nn.Module, run: RunConfig, channels: Mapping[str, tuple[str, ...]], windows: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.model, self.run, self.channels, self.windows = model, run, channels, windows
        self.family = FAMILIES[run.model.family]
        paired = run.plan.kind == "pairs"
        adverse = paired and self.family.latent and run.alignment.form == ADVERSARIAL
        self.adversary = self._adversary() if adverse else None
        self.contrasts = paired or run.contrast.kind == "supervised"
        self.aligns = paired and self.family.latent and not adverse
        self.feels = run.affect.weight > 0
        self.random = bool(run.augment) or getattr(run.model, "dropout", 0) > 0

    def forward(self, episode: Episode) -> Terms:
        """Windows of every corpus through the encoder and to what the losses need."""
        contrast, gamma, embedding, latents = [], [], [], []
        with self._dice(episode.row, next(self.model.parameters()).device):
            for name, windows in episode.windows.items():
                out = self.encoded(name, windows)
                if self.contrasts:
                    kind = CONTRASTS[self.run.contrast.kind]
                    contrast.append(kind(out.embedding, episode.labels[name], self.run.contrast.temperature))
                if self.aligns:
                    spec: Any = self.run.model
                    chosen = spec.chosen
                    gamma.append(centroids(out.latent, 2, chosen.covariance, chosen.covariance_diagonal))
                if self.adversary is not None:
                    latents.append(out.latent)
                if self.feels:
                    wide = out.embedding.to(torch.promote_types(out.embedding.dtype, torch.float32))
                    embedding.append(nn.functional.pad(wide, (0, 0, 0, self.windows[name] - len(windows))))
        nothing = torch.zeros(0, device=windows.device)
        return Terms(
            torch.stack(contrast) if contrast else nothing,
            torch.cat(gamma) if gamma else nothing,
            torch.cat(embedding) if embedding else nothing,
            nothing if self.adversary is None else self.adversary(latents),
        )

    def _adversary(self) -> Adversary:
        """Its initial weights are a function of the run's seed alone."""
        spec: Any = self.run.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.run.seed)
            return Adversary(spec.features, spec.spatial, len(self.channels)).to(next(self.model.parameters()).device)

    @property
    def learned(self) -> nn.Module:
        """All that has weights to learn, and to keep in checkpoints."""
        return self.model if self.adversary is None else self

    def encoded(self, name: str, windows: Tensor) -> Any:
        """A corpus' windows [2V, C, T], both subjects' one after the other, through the model: its output."""
        if self.run.augment:
            windows = augment(windows, self.run.augment)
        groups = (torch.arange(len(windows)) // (len(windows) // 2),) if self.family.by_group else ()
        with torch.autocast(windows.device.type, torch.bfloat16, enabled=self.run.optim.precision == "bfloat16"):
            return self.model(windows, self.channels[name], *groups)

    @contextmanager
    def _dice(self, row: Row, device: torch.device) -> Iterator[None]:
        if not self.random:
            yield
            return
        seed = int(np.random.SeedSequence((self.run.seed, row.step, row.slot)).generate_state(1, np.uint64)[0])
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def coordinates(self, episode: Episode) -> Tensor:
        """[B, 3] valence, arousal and 1 for every window that has them, zeros elsewhere; rows as in `embedding`."""
        found = []
        for name, affect in episode.affect.items():
            known = affect.isfinite().all(1, keepdim=True)
            row = torch.cat([affect.where(known, 0), known.to(affect)], 1)
            found.append(nn.functional.pad(row, (0, 0, 0, self.windows[name] - len(row))))
        return torch.cat(found)


@dataclass(frozen=True)
class Losses:
    """Global values of one step."""

    total: float
    joint: dict[str, float] = field(default_factory=dict)
    """`alignment`, `affect`, `adversary`: those that the run has."""
    contrast: dict[str, float] = field(default_factory=dict)
    """By corpus."""
    notice: Notice = ""
    """What any process was told (Context.notice)."""


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
        if len(episodes) == 1:
            terms: Terms = self.module(episodes[0])
            joint, logged, told = self._joint(episodes, [terms])
            (self._own(terms) + self._weighed(joint)).backward()
        else:
            with torch.no_grad():
                ahead = [self.bare(episode) for episode in episodes]
            leaves = [replace(t, gamma=t.gamma.requires_grad_(), embedding=t.embedding.requires_grad_()) for t in ahead]
            joint, logged, told = self._joint(episodes, leaves)
            inputs = [part for one in leaves for part in (one.gamma, one.embedding)]
            slopes = tuple(torch.zeros_like(part) for part in inputs)
            if joint:
                slopes = torch.autograd.grad(self._weighed(joint), inputs, allow_unused=True, materialize_grads=True)
            for number, episode in enumerate(episodes):
                last = number == len(episodes) - 1
                wrapped = isinstance(self.module, DistributedDataParallel)
                with self.module.no_sync() if wrapped and not last else nullcontext():  # type: ignore[operator]
                    terms = self.module(episode)
                    surrogate = (slopes[2 * number] * terms.gamma).sum()
                    surrogate = surrogate + (slopes[2 * number + 1] * terms.embedding).sum()
                    (self._own(terms) / len(episodes) + surrogate).backward()
        return self._read(logged, joint, told)

    def _read(self, logged: Terms, joint: Mapping[str, Tensor], told: Tensor) -> Losses:
        """The step's values as plain numbers, in one transfer from the device."""
        shared = dict(joint)
        if self.bare.adversary is not None:
            shared["adversary"] = logged.adversary.sum()
        total = self._own(logged).double() + self._weighed(joint).double()
        single = torch.stack([value.detach().double() for value in (total, *shared.values())])
        *numbers, keep, stop = torch.cat([single, logged.contrast.double(), told.double()]).tolist()
        notice: Notice = "stop" if stop else "keep" if keep else ""
        rest = numbers[1 + len(shared) :]
        by_corpus = dict(zip(self.bare.channels, rest, strict=True)) if self.bare.contrasts else {}
        return Losses(numbers[0], dict(zip(shared, numbers[1:], strict=False)), by_corpus, notice)

    def _own(self, terms: Terms) -> Tensor:
        """Losses that an episode has by itself."""
        contrast = terms.contrast
        mean = self.run.contrast.over_corpora == "mean" and len(contrast) > 0
        joined = contrast.mean() if mean else contrast.sum()
        return self.run.contrast.weight * joined + self.run.alignment.weight * terms.adversary.sum()

    def _weighed(self, joint: Mapping[str, Tensor]) -> Tensor:
        weights = {"alignment": self.run.alignment.weight, "affect": self.run.affect.weight}
        return sum((weights[name] * loss for name, loss in joint.items()), torch.zeros((), device=self.context.device))

    def _joint(self, episodes: Sequence[Episode], terms: Sequence[Terms]) -> tuple[dict[str, Tensor], Terms, Tensor]:
        """Losses over the whole step, means over its episodes of their own losses, and how many processes were told to
        keep and to stop [2]; in one exchange.
        """
        gamma = torch.cat([one.gamma for one in terms])
        own = [torch.cat([one.contrast.detach(), one.adversary.detach().flatten()]) for one in terms]
        told, heard = own[0].new_zeros(2), self.context.notice()
        if heard:
            told[("keep", "stop").index(heard)] = 1
        parts = [torch.cat([torch.stack(own).sum(0) / self.run.train.episodes, told])]
        if self.bare.aligns:
            form, slots = FORMS[self.run.alignment.form], self._slots(episodes, gamma.shape[-1])
            parts.append(form.pack(gamma, slots))
        if self.bare.feels:
            at = torch.tensor([episode.row.slot for episode in episodes], device=gamma.device)
            for values in (
                torch.stack([one.embedding for one in terms]),
                torch.stack([self.bare.coordinates(episode) for episode in episodes]),
            ):
                table = values.new_zeros((self.run.train.episodes, *values.shape[1:]))
                parts.append(table.index_copy(0, at, values).flatten())
        summed = self.context.all_reduce(torch.cat(parts)).split([len(part) for part in parts])
        found, rest = {}, list(summed[1:])
        if self.bare.aligns:
            found["alignment"] = form.loss(rest.pop(0), slots, gamma.shape[1])
        if self.bare.feels:
            chosen = self.run.affect
            affect = rest[1].detach().view(-1, 3)
            known = affect[:, :2].where(affect[:, 2:] > 0, torch.nan)
            known = on_grid(known) if chosen.truncate else known
            embedding = rest[0].view(len(affect), -1)
            found["affect"] = soft_affect_contrast(embedding, known, chosen.temperature, chosen.reach, chosen.hard)
        logged = summed[0].detach()
        cut = len(terms[0].contrast)
        return found, replace(terms[0], contrast=logged[:cut], adversary=logged[cut:-2]), logged[-2:]

    def _slots(self, episodes: Sequence[Episode], spatial: int) -> Slots:
        corpora = len(self.bare.channels)
        each = 2 * corpora
        index = torch.cat([torch.arange(each) + each * episode.row.slot for episode in episodes])
        corpus = (torch.arange(each) // 2).repeat(len(episodes))
        spec: Any = self.run.model
        variances = spec.chosen.covariance_diagonal == "keep"
        return Slots(index, corpus, each * self.run.train.episodes, corpora, spatial, variances)
