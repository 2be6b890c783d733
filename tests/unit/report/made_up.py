"""Inputs of a page, made up but consistent: scores are means of the per-subject scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mdjpt_model.montage import UNIFIED
from mdjpt_platform.report.inputs import CorpusInfo, ReportInputs, TargetInputs

NAMES = """
Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2
"""
FACED = tuple(NAMES.split())
CAPS = {"sim-a": UNIFIED, "sim-b": FACED, "deap-like": (*FACED, "AF7", "AF8"), "tiny": ("FZ", "CZ", "PZ", "T3")}
EMOTIONS = ("anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy", "tenderness")
SKILL = {"trained": 0.18, "random": 0.05, "de": 0.1}


def target(
    name: str = "sim-b",
    classes: int = 3,
    subjects: int = 12,
    readouts: tuple[str, ...] = ("few_shot", "zero_shot"),
    protocol: str = "strict",
    seed: int = 0,
    embedded: tuple[str, ...] = (),
) -> TargetInputs:
    rng = np.random.default_rng(seed)
    labels = list(EMOTIONS[:classes]) if classes > 3 else ["negative", "neutral", "positive"][:classes]
    people, rows, tests, confusion = [], [], [], []
    for method, skill in SKILL.items():
        for readout in readouts:
            for lds, gain in (("off", 0.0), ("on", 0.05), ("causal", 0.02)):
                for metric in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
                    chance = 0.5 if metric == "auroc" else 1 / classes
                    values = chance + (skill + gain) / (1 + readout.startswith("zero")) + rng.normal(0, 0.07, subjects)
                    low, high = np.percentile(rng.choice(values, (200, subjects)).mean(1), [2.5, 97.5])
                    key = {"target": name, "method": method, "readout": readout, "lds": lds, "metric": metric}
                    people += [{**key, "subject": f"sub-{7 * k + 3}x", "value": v} for k, v in enumerate(values)]
                    rows.append(
                        {**key, "value": values.mean(), "low": low, "high": high, "chance": chance}
                        | {"chance_low": chance - 0.03, "chance_high": chance + 0.03}
                        | {"n_subjects": subjects, "protocol": protocol}
                    )
                    if method != "trained":
                        tests.append(
                            {"readout": readout, "lds": lds, "metric": metric, "method": "trained", "control": method}
                            | {"n_subjects": subjects, "difference": SKILL["trained"] - skill, "effect": 0.9}
                            | {"p_wilcoxon": 0.01, "p_permutation": 0.012, "wilcoxon_holm": 0.03}
                            | {"permutation_holm": 0.0004 if method == "random" else 0.21}
                        )
                counts = rng.integers(5, 40, (classes, classes)) + np.eye(classes, dtype=int) * 50
                confusion.append(
                    {"method": method, "readout": readout, "lds": lds, "labels": labels, "counts": counts.tolist()}
                )
    points = []
    for method in SKILL:
        for corpus in embedded or (name,):
            for k in range(20 * classes):
                points.append(
                    {"method": method, "corpus": corpus, "subject": f"sub-{7 * (k % subjects) + 3}x"}
                    | {"label": labels[k % classes], "x": rng.normal(k % classes), "y": rng.normal(len(corpus) % 5)}
                )
    notes = ("protocol published: priors include the test subjects",) if protocol == "published" else ()
    frames = (pd.DataFrame(rows), pd.DataFrame(people), pd.DataFrame(tests), pd.DataFrame(points))
    return TargetInputs(name, *frames, confusion, notes)


def history(corpora: tuple[str, ...], epochs: int = 4, steps: int = 60) -> list[dict[str, float]]:
    rng = np.random.default_rng(1)
    records = []
    for step in range(epochs * steps):
        fall = np.exp(-step / 90)
        losses = {f"loss/contrast.{n}": 2.1 + 1.2 * fall + 0.1 * k + rng.normal(0, 0.15) for k, n in enumerate(corpora)}
        alignment = 0.4 + 0.5 * fall + rng.normal(0, 0.02)
        total = sum(losses.values()) + 0.01 * alignment
        records.append(
            {"step": step, "epoch": step // steps, "time": 1.7e9 + step, "time/step": 0.21, "time/wait": 0.01}
            | {"loss/total": total, "loss/alignment": alignment}
            | losses
        )
    return records


def corpus(name: str, channels: tuple[str, ...], role: str = "source") -> CorpusInfo:
    labels = {"negative": 120, "neutral": 118, "positive": 121}
    failed = {"sub-10x_ses-2": "/data/raw/sub-10x.mat: truncated"} if role == "target" else {}
    return CorpusInfo(name, "faced", 12, 24, 359, 11.3, channels, 250.0, labels, failed, role)


def whole(targets: tuple[TargetInputs, ...] | None = None, corpora: int = 4, title: str = "demo run") -> ReportInputs:
    caps = dict(list(CAPS.items())[:corpora])
    for extra in range(corpora - len(caps)):
        caps[f"seed-like-{extra}"] = UNIFIED[extra::2]
    names = tuple(caps)
    return ReportInputs(
        title=title,
        config={
            "seed": 0,
            "corpora": {"sim-a": {"layout": "seed", "subjects": ["sub-3x", "sub-10x"]}},
            "optim": {"lr": 5e-4},
        },
        identities={"run": "a3f19c0277bd41e2", "weights": "9" * 64},
        versions={"mdjpt": "0.1.0", "torch": "2.13.0"},
        history=history(names[: max(1, corpora - 1)]),
        contrast_chance={name: float(np.log(2 * 28 - 1)) for name in names},
        corpora=[corpus(n, c, "target" if n == "sim-b" else "source") for n, c in caps.items()],
        targets=(target(embedded=names),) if targets is None else targets,
    )
