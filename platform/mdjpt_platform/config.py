"""What a run is (`RunConfig`, hashed) and how it is carried out (`ExecConfig`, never hashed). Read by runfile.py."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.spec import ModelSpec
from mdjpt_platform.execution import ExecConfig
from mdjpt_platform.frozen import Frozen
from mdjpt_platform.library.spec import LibrarySpec


class FactsConfig(Frozen):
    """Declared deviations of a copy of a corpus from its publication (a subset, a simulation)."""

    stimuli: tuple[int, ...] | None = Field(
        None, description="published stimulus numbers the files hold, in file order"
    )
    sessions: int | None = Field(None, ge=1, description="sessions per subject")
    seconds: float | None = Field(None, gt=0, description="seconds of every trial")


class SimulateConfig(Frozen):
    """Raw recordings to be simulated where there are none; stimuli, sessions and seconds are those of `facts`."""

    subjects: int = Field(ge=1, description="subjects to simulate")
    seed: int = Field(0, ge=0, description="of the generative model")
    permute: bool = Field(False, description="negative control: equal stimulus ids show different contents")


class MappingConfig(Frozen):
    """What the columns of a lab's own table of trials mean (layouts `bids` and `folder`)."""

    source: Literal["events", "participants"] = Field(
        "events", description="label from the rows of events.tsv (or trials.csv), or from participants.tsv"
    )
    label: str | None = Field(None, description="column of the label; trial_type (bids) or label (folder) if absent")
    stimulus: str = Field("stimulus", description="column that is equal for two trials iff the same thing was shown")
    classes: tuple[str, ...] = Field((), description="class names in order of their code; the layout's if absent")
    values: dict[str, str] = Field(default_factory=dict, description="value of the label column -> class; others as is")
    only: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="column -> values: the rows that are trials, where others are not"
    )
    valence: str = Field("valence", description="column of valence ratings, if there is one")
    arousal: str = Field("arousal", description="column of arousal ratings, if there is one")
    scale: tuple[float, float] = Field((-1.0, 1.0), description="lowest and highest rating; brought to -1..1")

    @model_validator(mode="after")
    def _scale_rises(self) -> MappingConfig:
        if self.scale[0] >= self.scale[1]:
            raise ValueError("scale: the lowest rating comes first")
        return self

    @model_validator(mode="after")
    def _classes_known(self) -> MappingConfig:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: every class once, and there are {', '.join(self.classes)}")
        for name in self.values.values():
            if self.classes and name not in self.classes:
                raise ValueError(f"values: {name!r} is not among classes: {', '.join(self.classes)}")
        return self


class CorpusConfig(Frozen):
    """One corpus of the run."""

    layout: str = Field(description="how the files lie on disk: a key of corpora.CORPORA")
    labels: str = Field("default", description="label scheme, one of the layout's")
    affect: Literal["unified", "measured", "emod"] = Field(
        "unified", description="table of valence and arousal for trials without ratings of their own"
    )
    mapping: MappingConfig | None = Field(None, description="columns of a data set of one's own (bids, folder)")
    subjects: tuple[str, ...] | None = Field(None, description="only these subjects; all if absent")
    facts: FactsConfig = Field(FactsConfig(), description="where this copy differs from the published corpus")
    simulate: SimulateConfig | None = Field(
        None, description="simulate the raw recordings; needs facts.stimuli, .seconds"
    )

    @model_validator(mode="after")
    def _simulation_stated(self) -> CorpusConfig:
        if self.simulate is not None and (self.facts.stimuli is None or self.facts.seconds is None):
            raise ValueError("simulate: facts.stimuli and facts.seconds say what to simulate, and one is absent")
        return self


class StepConfig(Frozen):
    """One preparation step."""

    step: str = Field(description="key of preprocess.steps.STEPS")
    params: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the step")


class WindowConfig(Frozen):
    """Fixed-length cuts of a trial."""

    seconds: float = Field(5.0, gt=0, description="window length, s")
    step: float = Field(2.0, gt=0, description="distance between window starts, s")


SPECS: dict[str, type] = {"mdjpt": ModelSpec, "emod": EmodSpec, "library": LibrarySpec}
"""Architecture by `model.family`."""


def _family(model: Any) -> str:
    """Tag of a model; the one that is meant where none is stated."""
    return str(model.get("family", "mdjpt") if isinstance(model, dict) else getattr(model, "family", model))


Model = Annotated[
    Annotated[ModelSpec, Tag("mdjpt")] | Annotated[EmodSpec, Tag("emod")] | Annotated[LibrarySpec, Tag("library")],
    Discriminator(_family, "family", f"family must be one of: {', '.join(SPECS)}"),
]
Augmentation = Literal["noise", "shuffle", "mask"]
Positives = Literal["aligned", "same_stimulus", "shuffled"]


class ContrastConfig(Frozen):
    """Inter-subject alignment (ISA), and what it is compared with."""

    kind: Literal["inter_subject", "supervised"] = Field(
        "inter_subject",
        description="attract the two windows of a pair (ISA), or all windows of an episode that bear the same label of "
        "their corpus (supervised contrast, Khosla et al. 2020; windows without label take no part)",
    )
    positives: Positives = Field(
        "aligned",
        description="partner of a window: same stimulus and moment (paper) | same stimulus, moment drawn apart | "
        "another stimulus, drawn anew for every episode: the control without alignment",
    )
    weight: float = Field(1.0, ge=0, description="factor of the contrastive term; 0 switches it off")
    temperature: float = Field(0.07, gt=0, description="softmax temperature")
    over_corpora: Literal["sum", "mean"] = Field("sum", description="how the corpora's terms are joined")

    @model_validator(mode="after")
    def _positives_used(self) -> ContrastConfig:
        if self.kind == "supervised" and self.positives != "aligned":
            raise ValueError(f"positives: {self.positives} means nothing to kind supervised, which goes by the label")
        return self


class AffectConfig(Frozen):
    """Soft contrast by valence and arousal over all windows of a step, of all corpora (EMOD, AAAI 2026)."""

    weight: float = Field(0.0, ge=0, description="factor of the term; 0 switches it off")
    temperature: float = Field(0.07, gt=0, description="softmax temperature")
    reach: float = Field(
        1.25, gt=0, description="distance in the plane [-1, 1]^2 from which two windows no longer attract each other"
    )
    truncate: bool = Field(False, description="cut coordinates to whole steps of EMOD's grid 0..8, as released")
    hard: bool = Field(False, description="attract equal coordinates alone (the hard V-A ablation)")


Empty = Literal["turns", "next", "carried"]


class PlanConfig(Frozen):
    """What an episode takes from every corpus."""

    kind: Literal["pairs", "regions"] = Field(
        "pairs",
        description="two subjects at the same moments of the same stimuli | windows spread over the valence-arousal "
        "plane, for corpora without shared stimuli too (no contrast between subjects, no alignment)",
    )
    empty: Empty = Field(
        "turns",
        description="regions: a corpus takes those that it has in turn | the next fills the place of an absent one | "
        "and shifts all that follow in the episode, other corpora's too, as released",
    )


class AlignmentConfig(Frozen):
    """Cross-dataset alignment (CDA)."""

    weight: float = Field(0.01, ge=0, description="factor of the covariance term; 0 switches it off")
    form: Literal["slots", "moments", "corpus", "coral", "mmd", "adversarial"] = Field(
        "slots",
        description="Frobenius norms between subjects | squared norms between subjects | norms between corpora | "
        "instead of CDA: Deep CORAL between corpora | kernel two-sample distance (MMD) between corpora | an adversary "
        "that tells corpora apart (DANN)",
    )


class OptimConfig(Frozen):
    """Adam with L2 decay and a constant rate, as mdJPT; EMOD takes adamw and cosine."""

    kind: Literal["adam", "adamw"] = Field("adam", description="L2 penalty inside Adam | decoupled decay")
    lr: float = Field(5e-4, gt=0, description="learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="L2 penalty or decoupled decay")
    schedule: Literal["constant", "cosine"] = Field("constant", description="learning rate over the steps")
    final: float = Field(0.0, ge=0, description="learning rate of the last step, where the schedule is cosine")
    clip: float | None = Field(None, gt=0, description="largest global gradient norm; none by default")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="autocast type of the encoder")


class TrainConfig(Frozen):
    """Length and shape of the training."""

    epochs: int = Field(20, ge=1, description="epochs; a checkpoint and a report after each")
    steps: int = Field(1024, ge=1, description="optimiser steps in an epoch")
    episodes: int = Field(1, ge=1, description="episodes in a step (K), whatever the number of workers")


class ProbeConfig(Frozen):
    """The classifier of the few-shot read-outs: the published MLP (SYSTEMS 1.9), or a linear one."""

    kind: Literal["mlp", "logistic", "svm"] = Field("mlp", description="the fields below but `strength` are the MLP's")
    strength: float = Field(1.0, gt=0, description="logistic, svm: inverse penalty (C) on standardised features")
    hidden: tuple[int, ...] = Field((128, 64), description="widths of the hidden layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="after each hidden layer")
    lr: float = Field(5e-4, gt=0, description="Adam learning rate")
    weight_decay: float = Field(2.2e-3, ge=0, description="Adam L2 penalty")
    batch: int = Field(256, ge=2, description="windows in a batch")
    epochs: int = Field(8, ge=1, description="epochs; fixed, never chosen on test subjects")


class FineTuneConfig(Frozen):
    """The read-out that trains the encoder too (rates, smoothing and clip as EMOD's fine-tuning, SYSTEMS 2.6)."""

    epochs: int = Field(20, ge=1, description="epochs; fixed, never chosen on test subjects")
    batch: int = Field(64, ge=2, description="windows in a batch")
    block: int = Field(
        16, ge=2, description="least windows of one subject-session in a batch, where the model normalises by it"
    )
    lr: float = Field(1e-3, gt=0, description="AdamW learning rate of the classifier; cosine, down to zero")
    encoder_lr: float = Field(0.5, ge=0, description="learning rate of the encoder, as a share of the classifier's")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled decay")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the truth spread over all classes")
    clip: float = Field(1.0, gt=0, description="largest global gradient norm")
    dropout: float = Field(0.25, ge=0, lt=1, description="of the features, before the classifier")


Readout = Literal["few_shot", "zero_shot", "across", "loso", "fine_tune", "affect", "affect_across"]


class EvaluateConfig(Frozen):
    """Transfer to target corpora."""

    protocol: Literal["strict", "published"] = Field(
        "strict", description="leak-free, or the released procedure with its leaks (output says so)"
    )
    readouts: tuple[Readout, ...] = Field(("few_shot", "zero_shot"), description="which scores to compute")
    controls: tuple[Literal["random", "de"], ...] = Field(
        ("random", "de"), description="beside the trained encoder: an untrained one, differential entropy"
    )
    windows: dict[str, WindowConfig] = Field(
        default_factory=dict, description="window per target where it differs from the run's"
    )
    feature: Literal["me", "de"] = Field("me", description="mean or differential entropy over patches")
    normalisation: Literal["whole", "causal", "frozen"] = Field(
        "whole", description="stratified statistics: the whole subject-session, its past, or the training subjects'"
    )
    decay: float = Field(0.99, gt=0, lt=1, description="decay of the prior in the running normalisation")
    folds: int = Field(4, ge=2, description="disjoint folds of subjects for the few-shot read-out")
    probe: ProbeConfig = Field(ProbeConfig(), description="few-shot classifier")
    fine_tune: FineTuneConfig = Field(FineTuneConfig(), description="end-to-end training on the few-shot folds")
    stimulus_folds: int = Field(3, ge=0, description="folds of held-out stimuli beside held-out subjects; 0: off")
    exclude: Literal["subject", "trial"] = Field(
        "subject", description="zero-shot: windows of the same subject (or trial) are never neighbours"
    )
    bootstrap: int = Field(2000, ge=100, description="resamples of subjects for the intervals")
    batch: int = Field(64, ge=2, description="windows through the encoder at a time")
    seed: int = Field(19260817, ge=0, lt=2**63, description="folds, probes, bootstrap")

    @model_validator(mode="after")
    def _published_probe(self) -> EvaluateConfig:
        if self.protocol == "published" and self.probe.kind != "mlp":
            raise ValueError(f"probe.kind: {self.probe.kind}, but protocol published reads out with an mlp")
        return self


class RunConfig(Frozen):
    """Everything that changes results."""

    name: str = Field("run", description="for people and folders; part of no hash", max_length=100)
    seed: int = Field(0, ge=0, lt=2**63, description="initial weights and plan")
    corpora: dict[str, CorpusConfig] = Field(description="corpora by the name used in results")
    sources: tuple[str, ...] = Field(description="corpora to pre-train on")
    targets: tuple[str, ...] = Field((), description="corpora to evaluate on")
    only: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="subjects of a source that take part in the pre-training; all if absent"
    )
    recipe: str | tuple[StepConfig, ...] = Field("mdjpt", description="preset of preprocess.recipe, or steps")
    window: WindowConfig = Field(WindowConfig(), description="windows of the pre-training")
    plan: PlanConfig = Field(PlanConfig(), description="what an episode is")
    augment: tuple[Augmentation, ...] = Field(
        (), description="one of these, or none, is done to each window of the pre-training"
    )
    model: Model = Field(default_factory=ModelSpec, description="kind, architecture and switches")
    contrast: ContrastConfig = Field(ContrastConfig(), description="inter-subject alignment")
    alignment: AlignmentConfig = Field(AlignmentConfig(), description="cross-dataset alignment")
    affect: AffectConfig = Field(AffectConfig(), description="contrast by valence and arousal")
    optim: OptimConfig = Field(OptimConfig(), description="optimiser")
    train: TrainConfig = Field(TrainConfig(), description="length of the training")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="read-outs and protocol")

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.isprintable() or not name or name.startswith(".") or {"/", "\\"} & set(name):
            raise ValueError("a name for a folder: no slashes, no control characters, no leading dot")
        return name

    @model_validator(mode="after")
    def _names_known(self) -> RunConfig:
        for field in ("sources", "targets"):
            names = getattr(self, field)
            for name in names:
                if name not in self.corpora:
                    raise ValueError(f"{field}: {name!r} is not among corpora: {', '.join(self.corpora)}")
            if len(set(names)) != len(names):
                raise ValueError(f"{field}: a corpus is named twice: {', '.join(names)}")
        if not self.sources:
            raise ValueError("sources: name at least one corpus to pre-train on")
        for name, subjects in self.only.items():
            if name not in self.corpora or len(set(subjects)) < 2:
                raise ValueError(f"only: {name!r}: {len(subjects)} subjects; a corpus and two subjects or more")
        for name in self.evaluate.windows:
            if name not in self.corpora:
                raise ValueError(f"evaluate.windows: {name!r} is not among corpora: {', '.join(self.corpora)}")
        return self

    @model_validator(mode="after")
    def _losses_fit(self) -> RunConfig:
        between_subjects = self.contrast.weight > 0 and self.contrast.kind == "inter_subject"
        if self.plan.kind == "regions":
            needy = {"model.family mdjpt": self.model.family == "mdjpt", "contrast.weight": between_subjects,
                     "alignment.weight": self.alignment.weight > 0}  # fmt: skip
            if any(needy.values()):
                names = ", ".join(name for name, needs in needy.items() if needs)
                raise ValueError(f"plan.kind: regions draws no pairs of subjects, which {names} need")
            if self.affect.weight == 0 and self.contrast.kind == "inter_subject":
                raise ValueError("affect.weight: 0 leaves plan.kind regions without a loss")
        elif self.alignment.weight > 0 and self.model.family != "mdjpt":
            raise ValueError(f"alignment.weight: model.family {self.model.family} has no latent to align; set it to 0")
        return self

    def pretrain_identity(self) -> str:
        """Hash of what decides the weights: targets, read-outs, name and other corpora are left out."""
        tree = self.model_dump(mode="json", exclude={"name", "targets", "evaluate", "corpora", "only"})
        tree["only"] = {n: list(self.only[n]) for n in self.sources if n in self.only}
        tree["corpora"] = {n: self.corpora[n].model_dump(mode="json") for n in self.sources}
        return content_hash(tree)

    def identity(self) -> str:
        """Hash of the whole run but its name."""
        return content_hash(self.model_dump(mode="json", exclude={"name"}))


class Config(Frozen):
    """A whole run file."""

    run: RunConfig
    exec: ExecConfig = ExecConfig()


def content_hash(tree: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
