"""Run files: what is refused and how it is said, overrides, and which fields belong to which hash."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from conftest import tiny_tree
from mdjpt_model.emod.spec import EmodSpec
from mdjpt_model.spec import RELEASED, ModelSpec, Switches
from mdjpt_platform import config as configuration
from mdjpt_platform.config import Config, PlanConfig, RunConfig, content_hash
from mdjpt_platform.errors import BadInput
from mdjpt_platform.runfile import load, parse

Keys = tuple[str | int, ...]

FULL: dict[str, Any] = {
    **tiny_tree(Path("store"), Path("runs")),
    "recipe": [{"step": "resample", "params": {"rate": 125.0}}],
    "model": {"switches": {"spatial_relu": True}, "hidden": 16, "heads": 2},
    "optim": {"clip": 1.0},
    "evaluate": {"windows": {"three": {"seconds": 3.0}}},
    "only": {"one": ["01", "02"]},
}
FULL["corpora"] = {
    name: {
        "layout": "seed",
        "subjects": ["01", "02"],
        "facts": {"stimuli": [1, 2, 3], "sessions": 2, "seconds": 20.0},
        "simulate": {"subjects": 4},
        "mapping": {
            "label": "mood",
            "classes": ["calm", "tense"],
            "values": {"1": "calm"},
            "only": {"kind": ["clip", "film"]},
        },
    }
    for name in ("one", "two", "three")
}


def changed(tree: dict[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(tree)
    node: Any = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
    node[keys[-1]] = value
    return tree


def refused(tree: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as refusal:
        parse(tree, "run.yaml")
    message = str(refusal.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("path", "near", "also"),
    [
        ("trian", "train", "alignment"),
        ("seeds", "seed", "corpora"),
        ("train.epoch", "epochs", "episodes"),
        ("window.second", "seconds", "step"),
        ("contrast.temprature", "temperature", "over_corpora"),
        ("alignment.forms", "form", "weight"),
        ("optim.precission", "precision", "lr"),
        ("exec.worker", "workers", "max_failures"),
        ("model.hiden", "hidden", "dilations"),
        ("model.switches.covarianc", "covariance", "spatial_relu"),
        ("evaluate.readout", "readouts", "folds"),
        ("evaluate.probe.epoch", "epochs", "dropout"),
        ("evaluate.windows.three.second", "seconds", "step"),
        ("corpora.one.lable", "labels", "layout"),
        ("corpora.one.facts.second", "seconds", "stimuli"),
        ("corpora.one.simulate.sed", "seed", "permute"),
        ("recipe.0.param", "params", "step"),
    ],
)
def test_unknown_key_names_the_valid_ones_and_the_nearest(path: str, near: str, also: str) -> None:
    keys = tuple(int(key) if key.isdigit() else key for key in path.split("."))
    message = refused(changed(FULL, keys, 1))
    assert message.startswith("run.yaml: ")
    if "switches" not in path:
        assert f"run.yaml: {path}: found an unknown key" in message
    assert f"did you mean {near!r}?" in message and also in message


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("train.epochs", "many", "train.epochs: found 'many', expected Input should be a valid integer"),
        ("train.epochs", 0, "train.epochs: found 0, expected Input should be greater than or equal to 1"),
        ("train", None, "train: found None"),
        ("train", [1], "train: found [1]"),
        ("seed", 1.5, "seed: found 1.5"),
        ("optim.lr", float("nan"), "optim.lr: found nan"),
        ("optim.lr", float("inf"), "optim.lr: found inf, expected Input should be a finite number"),
        ("optim.precision", "float16", "expected Input should be 'float32' or 'bfloat16'"),
        ("sources", "one", "sources: found 'one'"),
        ("sources", ["nine"], "'nine' is not among corpora: one, two, three"),
        ("sources", [], "sources: name at least one corpus"),
        ("sources", ["one", "one"], "sources: a corpus is named twice: one, one"),
        ("targets", ["nine"], "targets: 'nine' is not among corpora"),
        ("corpora", None, "corpora: found None"),
        ("corpora.one", "seed", "corpora.one: found 'seed'"),
        ("corpora.one.simulate", {"subjects": 0}, "corpora.one.simulate.subjects: found 0"),
        ("evaluate.windows", {"nine": {}}, "evaluate.windows: 'nine' is not among corpora"),
        ("evaluate.readouts", ["few"], "evaluate.readouts.0: found 'few'"),
        ("contrast.positives", "alined", "expected Input should be 'aligned', 'same_stimulus' or 'shuffled'"),
        (
            "contrast",
            {"kind": "supervised", "positives": "shuffled"},
            "positives: shuffled means nothing to kind supervised, which goes by the label",
        ),
        ("model", 3, "model: found 3"),
        ("model.variant", "new", "model.variant: found 'new', expected Input should be 'corrected' or 'released'"),
        ("model.heads", 3, "heads must divide hidden: 3 does not divide 16"),
        ("model.switches", {"spatial_relu": "off"}, "switch spatial_relu must be one of True, False, found 'off'"),
        ("recipe", 3, "recipe: found 3"),
        ("exec", "fast", "exec: found 'fast'"),
        ("exec.workers", 0, "exec.workers: found 0"),
        ("exec.gpu", "maybe", "exec.gpu: found 'maybe'"),
    ],
)
def test_value_of_the_wrong_kind(path: str, value: Any, said: str) -> None:
    assert said in refused(changed(FULL, tuple(path.split(".")), value))


@pytest.mark.parametrize("mapping", [{"values": {"1": "clam"}}, {"values": {}, "classes": ["calm", "calm"]}])
def test_a_mapping_leads_to_its_own_classes(mapping: dict[str, Any]) -> None:
    whole = FULL["corpora"]["one"]["mapping"] | mapping
    assert "corpora.one.mapping" in refused(changed(FULL, ("corpora", "one", "mapping"), whole))


def test_simulation_needs_its_facts() -> None:
    assert "facts.stimuli and facts.seconds say what to simulate" in refused(
        changed(FULL, ("corpora", "one", "facts"), {"sessions": 1})
    )


@pytest.mark.parametrize("absent", ["corpora", "sources"])
def test_required_fields(absent: str) -> None:
    assert f"{absent}: " in refused({key: value for key, value in FULL.items() if key != absent})


def test_configuration_cannot_be_changed() -> None:
    config = parse(FULL)
    with pytest.raises(ValueError, match="frozen"):
        config.run.train.epochs = 3  # type: ignore[misc]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    return written(tmp_path, yaml.safe_dump(FULL))


def test_file_is_what_was_written(run_file: Path) -> None:
    assert load(run_file) == parse(FULL)


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("train.epochs=3", lambda c: c.run.train.epochs, 3),
        ("optim.lr=1e-3", lambda c: c.run.optim.lr, 1e-3),
        ("optim.clip=null", lambda c: c.run.optim.clip, None),
        ("sources=[two]", lambda c: c.run.sources, ("two",)),
        ("model.switches={covariance: scrambled}", lambda c: c.run.model.chosen.covariance, "scrambled"),
        ("model.dilations=[1, 2]", lambda c: c.run.model.dilations, (1, 2)),
        ("evaluate.probe.epochs=2", lambda c: c.run.evaluate.probe.epochs, 2),
        ("corpora.one.labels=valence", lambda c: c.run.corpora["one"].labels, "valence"),
        ("exec.raw.one=/raw=1", lambda c: c.exec.raw, {"one": "/raw=1"}),
        ("exec.gpu=true", lambda c: c.exec.gpu, True),
        (" name = other", lambda c: c.run.name, "other"),
    ],
)
def test_override_is_yaml(run_file: Path, override: str, read: Any, expected: Any) -> None:
    assert read(load(run_file, [override])) == expected


def test_later_override_wins(run_file: Path) -> None:
    assert load(run_file, ["seed=1", "seed=2"]).run.seed == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs", "--set: train.epochs: found no '=', expected a.b=c"),
        ("=3", "--set: =3"),
        ("train.epochs=[", "--set: train.epochs: found [, expected a YAML value"),
        ("seed.x=3", "--set: seed.x: found seed is not a mapping"),
        ("train.epoch=3", "train.epoch: found an unknown key"),
    ],
)
def test_override_that_says_nothing(run_file: Path, override: str, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        load(run_file, [override])
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found NoneType, expected a mapping"),
        ("- one", "found list, expected a mapping"),
        ("name: [", "expected YAML"),
        (b"name: \xff\xfe", "expected YAML"),
        (b"name: \x00", "expected YAML"),
    ],
)
def test_file_of_another_kind(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        load(written(tmp_path, text))
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInput, match="expected a readable YAML file"):
            load(path)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/object/apply:subprocess.call"])
def test_hostile_tags_do_not_run(tmp_path: Path, run_file: Path, tag: str) -> None:
    hostile = f'{tag} ["touch {tmp_path / "ran"}"]'
    with pytest.raises(BadInput, match="expected a YAML value"):
        load(run_file, [f"name={hostile}"])
    with pytest.raises(BadInput, match="could not determine a constructor"):
        load(written(tmp_path, f"name: {hostile}\n"))
    assert not (tmp_path / "ran").exists()


def leaves(node: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    nested = isinstance(node, dict) or (isinstance(node, list) and node and isinstance(node[0], dict))
    if not nested or not inner:
        yield keys, node
        return
    for key, value in inner:
        yield from leaves(value, (*keys, key))


def literals(kind: Any = RunConfig) -> set[Any]:
    """Every word that a field of the tree may be set to."""
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return set().union(*(literals(field.annotation) for field in kind.model_fields.values()))
    return set().union(*(literals(inner) for inner in get_args(kind)))


WORDS = sorted({word for word in literals() if isinstance(word, str)} | {"corrected", "released"})
DUMPED = parse(FULL).run.model_dump(mode="json")
LEAVES = [keys for keys, _ in leaves(DUMPED)]
ALONE: dict[Keys, Any] = {("plan", "kind"): PlanConfig(kind="regions"), ("model", "family"): EmodSpec()}
"""Fields that others must change with."""


def another(keys: Keys, value: Any) -> RunConfig:
    """The configuration with this one field set to another value, which is valid if the others allow it."""
    if keys in ALONE:
        return parse(FULL).run.model_copy(update={keys[0]: ALONE[keys]})
    if isinstance(value, bool):
        candidates: list[Any] = [not value]
    elif isinstance(value, (int, float)):
        candidates = [value + 1, value * 0.9, value * 2, 1]
    elif isinstance(value, str):
        candidates = [value + "x", "tense", *(word for word in WORDS if word != value)]
    elif isinstance(value, list):
        candidates = [value[:-1], [*value, 5], [*value, "three"], [*value, "loso"], [*value, "noise"], value[::-1]]
        candidates.append([*value[:1], 9.0])
    else:
        candidates = [{"ffn_prenorm": False}]
    for candidate in candidates:
        try:
            found = parse(changed(DUMPED, keys, candidate)).run
        except BadInput:
            continue
        if found != parse(FULL).run:
            return found
    raise AssertionError(f"no other value found for {keys}")


def test_the_walk_meets_every_field() -> None:
    found = {key for keys in LEAVES for key in keys}
    classes = [c for c in vars(configuration).values() if isinstance(c, type) and issubclass(c, configuration.Frozen)]
    assert len(classes) >= 15
    for node in classes:
        if node not in (configuration.Frozen, configuration.ExecConfig, Config):
            assert set(node.model_fields) <= found, node
    assert {field.name for field in fields(ModelSpec)} <= found
    assert len(LEAVES) > 70


@pytest.mark.parametrize("keys", LEAVES, ids=lambda keys: ".".join(map(str, keys)))
def test_every_field_but_the_name_is_part_of_the_identity(keys: Keys) -> None:
    run = parse(FULL).run
    value = dict(leaves(DUMPED))[keys]
    other = another(keys, value)
    assert (other.identity() == run.identity()) is (keys == ("name",))
    outside = keys[0] in ("name", "targets", "evaluate") or keys[:2] == ("corpora", "three")
    assert (other.pretrain_identity() == run.pretrain_identity()) is outside


@pytest.mark.parametrize("name", [field.name for field in fields(Switches)])
def test_every_switch_is_part_of_both_identities(name: str) -> None:
    run = parse(tiny_tree(Path("s"), Path("r"))).run
    value = getattr(RELEASED, name)
    other = parse(changed(tiny_tree(Path("s"), Path("r")), ("model", "switches"), {name: value})).run
    assert other.identity() != run.identity() and other.pretrain_identity() != run.pretrain_identity()


def test_how_it_is_run_is_part_of_no_identity() -> None:
    execution = parse(FULL).exec.model_copy(
        update={"workers": 7, "gpu": True, "store": "elsewhere", "raw": {"one": "x"}}
    )
    other = parse({**FULL, "exec": execution.model_dump(mode="json")})
    assert other.exec != parse(FULL).exec
    assert other.run.identity() == parse(FULL).run.identity()


def test_identity_is_stable_and_blind_to_order_of_keys() -> None:
    turned = {key: FULL[key] for key in reversed(FULL)}
    assert parse(turned).run.identity() == parse(FULL).run.identity()
    again = parse({**DUMPED, "exec": FULL["exec"]})
    assert again.run.identity() == parse(FULL).run.identity(), "what is stored reads back as the same run"


def test_order_of_sources_is_part_of_the_identity() -> None:
    """It decides the order of summation, and with it the last bits of the weights."""
    turned = changed(FULL, ("sources",), ["two", "one"])
    assert parse(turned).run.pretrain_identity() != parse(FULL).run.pretrain_identity()


def test_content_hash_is_canonical_json() -> None:
    assert content_hash({"b": 1, "a": [1.0]}) == content_hash({"a": [1.0], "b": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 1.5})
    assert len(content_hash({})) == 16
    with pytest.raises(ValueError, match="JSON compliant"):
        content_hash({"a": float("nan")})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"family": "emo"}, "family must be one of: mdjpt, emod"),
        (3, "family must be one of: mdjpt, emod"),
        ({"family": "emod", "widt": 3}, r"model\.widt: found an unknown key, .*\(did you mean 'width'\?\)"),
        ({"family": "emod", "patch": 3}, r"model\.patch: found an unknown key, expected one of: family, variant"),
        ({"patch": "wide"}, r"model\.patch: found 'wide'"),
        ({"family": "emod", "heads": 7}, "heads must divide width: 7 does not divide 128"),
    ],
)
def test_a_model_is_refused_by_the_fields_of_its_family(model: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse({**FULL, "model": model})


def test_a_plan_without_pairs_refuses_what_needs_them() -> None:
    bare = {"model": {"family": "emod"}, "contrast": {"weight": 0}, "alignment": {"weight": 0}}
    parse({**FULL, **bare, "plan": {"kind": "regions"}, "affect": {"weight": 1}})
    with pytest.raises(BadInput, match=r"affect\.weight: 0 leaves plan\.kind regions without a loss"):
        parse({**FULL, **bare, "plan": {"kind": "regions"}})
    with pytest.raises(BadInput, match=r"alignment\.weight: model\.family emod has no latent to align; set it to 0"):
        parse({**{k: v for k, v in FULL.items() if k != "alignment"}, "model": {"family": "emod"}, "alignment": {}})
    for key, needy in (("model", "model.family mdjpt"), ("contrast", "contrast.weight"), ("alignment", "alignment")):
        kept = {name: value for name, value in bare.items() if name != key}
        with pytest.raises(BadInput, match=f"regions draws no pairs of subjects, which {needy}"):
            parse({**{k: v for k, v in FULL.items() if k != key}, **kept, "plan": {"kind": "regions"}})
