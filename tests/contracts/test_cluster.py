"""What cluster/kuberay asks of Kubernetes, held against its schemas and against our own files.

No cluster is at hand: nothing here shows that a pod starts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mdjpt_platform.runfile import load

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
KUBERAY = CLUSTER / "kuberay"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file() and path.suffix != ".pyc")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
PART = {"app.kubernetes.io/part-of": "mdjpt"}

# Fields: required ones, then those that may be there. KubeRay: ray-operator/apis/ray/v1/*_types.go and the CRD
# reference of v1.6.2 (docs.ray.io, kubernetes/references/api); Kueue: API reference v1beta2; Kubernetes: that of v1.29.
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "RayCluster": (
        {"headGroupSpec"},
        {"authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "managedBy",
         "headServiceAnnotations", "rayVersion", "suspend", "upgradeStrategy", "workerGroupSpecs"},
    ),
    "authOptions": (set(), {"mode", "secretName", "enableK8sTokenAuth"}),
    "autoscalerOptions": (
        set(), {"env", "envFrom", "idleTimeoutSeconds", "image", "imagePullPolicy", "resources", "securityContext",
                "upscalingMode", "version", "volumeMounts"},
    ),
    "headGroupSpec": (
        {"template", "rayStartParams"}, {"enableIngress", "headService", "labels", "resources", "serviceType"},
    ),
    "workerGroupSpec": (
        {"groupName", "template", "rayStartParams", "minReplicas", "maxReplicas"},
        {"idleTimeoutSeconds", "labels", "numOfHosts", "replicas", "resources", "scaleStrategy", "suspend"},
    ),
    "RayJob": (
        {"entrypoint", "rayClusterSpec"},
        {"activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypointNumCpus",
         "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata", "preRunningDeadlineSeconds",
         "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig", "submitterPodTemplate",
         "suspend", "ttlSecondsAfterFinished"},
    ),
    "podTemplate": ({"spec"}, {"metadata"}),
    "pod": (
        {"containers"}, {"affinity", "automountServiceAccountToken", "imagePullSecrets", "initContainers",
                         "nodeSelector", "priorityClassName", "restartPolicy", "securityContext",
                         "serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "volumes"},
    ),
    "container": (
        {"name", "image", "resources"}, {"args", "command", "env", "envFrom", "imagePullPolicy", "lifecycle",
                                         "ports", "securityContext", "volumeMounts", "workingDir"},
    ),
    "PersistentVolumeClaim": ({"accessModes", "resources"}, {"storageClassName", "volumeMode", "volumeName"}),
    "NetworkPolicy": ({"podSelector"}, {"ingress", "egress", "policyTypes"}),
    "ClusterQueue": (
        {"resourceGroups"}, {"namespaceSelector", "cohortName", "preemption", "queueingStrategy", "stopPolicy"},
    ),
    "LocalQueue": ({"clusterQueue"}, {"stopPolicy"}),
    "ResourceFlavor": (set(), {"nodeLabels", "nodeTaints", "tolerations"}),
}  # fmt: skip
VERSIONS = {"RayCluster": "ray.io/v1", "RayJob": "ray.io/v1", "PersistentVolumeClaim": "v1", "Secret": "v1",
            "NetworkPolicy": "networking.k8s.io/v1", "ClusterQueue": "kueue.x-k8s.io/v1beta2",
            "LocalQueue": "kueue.x-k8s.io/v1beta2", "ResourceFlavor": "kueue.x-k8s.io/v1beta2"}  # fmt: skip
CLUSTER_WIDE = {"ClusterQueue", "ResourceFlavor"}


def documents() -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(KUBERAY.glob("*.yaml")):
        for tree in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            found[tree["kind"]] = tree
    return found


KUBE = documents()


def hold(tree: dict[str, Any], name: str) -> None:
    required, optional = FIELDS[name]
    assert required <= set(tree), f"{name}: lacks {required - set(tree)}"
    assert set(tree) <= required | optional, f"{name}: no field {set(tree) - required - optional}"


def clusters() -> dict[str, dict[str, Any]]:
    return {"cluster": KUBE["RayCluster"]["spec"], "job": KUBE["RayJob"]["spec"]["rayClusterSpec"]}


def templates(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]


def all_templates() -> list[tuple[str, dict[str, Any]]]:
    found = [(f"{name}/{group}", one) for name, spec in clusters().items() for group, one in templates(spec)]
    return [*found, ("job/submitter", KUBE["RayJob"]["spec"]["submitterPodTemplate"])]


def test_every_kind_is_there_once() -> None:
    assert set(KUBE) == set(VERSIONS)
    text = "".join(path.read_text() for path in KUBERAY.glob("*.yaml"))
    assert len(re.findall(r"^kind:", text, re.MULTILINE)) == len(VERSIONS)


@pytest.mark.parametrize("kind", sorted(VERSIONS))
def test_manifest_has_the_fields_of_its_schema(kind: str) -> None:
    tree = KUBE[kind]
    assert tree["apiVersion"] == VERSIONS[kind]
    assert tree["metadata"]["name"] and ("namespace" in tree["metadata"]) == (kind not in CLUSTER_WIDE)
    assert tree["metadata"].get("namespace", "mdjpt") == "mdjpt"
    if kind in FIELDS and kind != "ResourceFlavor":
        hold(tree["spec"], kind)


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_ray_cluster(name: str) -> None:
    spec = clusters()[name]
    hold(spec, "RayCluster")
    hold(spec["authOptions"], "authOptions")
    hold(spec.get("autoscalerOptions", {}), "autoscalerOptions")
    hold(spec["headGroupSpec"], "headGroupSpec")
    assert spec["authOptions"]["mode"] == "token"
    assert spec["authOptions"]["secretName"] == KUBE["Secret"]["metadata"]["name"]
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for group in spec["workerGroupSpecs"]:
        hold(group, "workerGroupSpec")
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    names = [group["groupName"] for group in spec["workerGroupSpecs"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "template"), all_templates(), ids=[name for name, _ in all_templates()])
def test_pod(name: str, template: dict[str, Any]) -> None:
    hold(template, "podTemplate")
    pod = template["spec"]
    hold(pod, "pod")
    assert PART.items() <= template["metadata"]["labels"].items(), "the network policy goes by this label"
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
    volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod.get("volumes", [])}
    assert set(volumes.values()) <= {KUBE["PersistentVolumeClaim"]["metadata"]["name"]}
    for container in pod["containers"]:
        hold(container, "container")
        resources = container["resources"]
        assert resources["requests"] == resources["limits"] and {"cpu", "memory"} <= set(resources["limits"])
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
        assert set(mounts) == set(volumes)
        if "submitter" not in name:
            assert mounts == {"shared": "/shared"}, "every node of Ray sees the same folder"
        for port in container.get("ports", []):
            assert "hostPort" not in port


def test_services_stay_inside() -> None:
    text = "\n".join(path.read_text() for path in KUBERAY.glob("*.yaml"))
    trees = [key for tree in KUBE.values() for key in walk(tree)]
    assert not {"LoadBalancer", "NodePort", "hostNetwork", "enableIngress"} & set(map(str, trees))
    assert "kubectl -n mdjpt port-forward" in text
    policy = KUBE["NetworkPolicy"]["spec"]
    assert policy["podSelector"] == {"matchLabels": PART} and policy["policyTypes"] == ["Ingress"]
    own, operator = policy["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": PART}}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert all({"namespaceSelector", "podSelector"} == set(one) for one in operator["from"])


def walk(tree: Any) -> Iterator[Any]:
    """Every key and value."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from walk(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from walk(value)
    else:
        yield tree


def test_the_secret_has_no_value() -> None:
    assert KUBE["Secret"]["data"] == {} and "stringData" not in KUBE["Secret"]


def test_spot_workers_are_tolerated_and_optional() -> None:
    spot = next(group for group in clusters()["cluster"]["workerGroupSpecs"] if group["groupName"] == "spot")
    (toleration,) = spot["template"]["spec"]["tolerations"]
    assert spot["template"]["spec"]["nodeSelector"] == {toleration["key"]: toleration["value"]}
    assert spot["minReplicas"] == 0 and clusters()["cluster"]["enableInTreeAutoscaling"] is True


def test_job_and_queue() -> None:
    """Kueue's conditions for a RayJob: kueue.sigs.k8s.io, tasks/run/rayjobs, Limitations."""
    job, spec = KUBE["RayJob"], KUBE["RayJob"]["spec"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == KUBE["LocalQueue"]["metadata"]["name"]
    assert KUBE["LocalQueue"]["spec"]["clusterQueue"] == KUBE["ClusterQueue"]["metadata"]["name"]
    assert spec["suspend"] is True and spec["shutdownAfterJobFinishes"] is True and "clusterSelector" not in spec
    assert spec["rayClusterSpec"]["enableInTreeAutoscaling"] is False
    assert len(spec["rayClusterSpec"]["workerGroupSpecs"]) <= 7
    assert spec["backoffLimit"] > 0 and spec["ttlSecondsAfterFinished"] > 0
    (group,) = KUBE["ClusterQueue"]["spec"]["resourceGroups"]
    (flavor,) = group["flavors"]
    assert flavor["name"] == KUBE["ResourceFlavor"]["metadata"]["name"]
    assert [one["name"] for one in flavor["resources"]] == group["coveredResources"]
    quota = {one["name"]: quantity(one["nominalQuota"]) for one in flavor["resources"]}
    assert {name: total <= quota[name] for name, total in asked().items()} == dict.fromkeys(asked(), True)


def quantity(text: str) -> float:
    return float(text.removesuffix("Gi")) * (2**30 if text.endswith("Gi") else 1)


def asked() -> dict[str, float]:
    """All that the job's pods ask for."""
    spec = clusters()["job"]
    counts = [1, *(group["replicas"] for group in spec["workerGroupSpecs"])]
    pods = [*zip(counts, (template for _, template in templates(spec)), strict=True)]
    pods.append((1, KUBE["RayJob"]["spec"]["submitterPodTemplate"]))
    total: dict[str, float] = {}
    for count, template in pods:
        for container in template["spec"]["containers"]:
            for name, value in container["resources"]["requests"].items():
                total[name] = total.get(name, 0) + count * quantity(value)
    return total


def test_the_training_fits_into_the_job() -> None:
    spec = KUBE["RayJob"]["spec"]
    python, job, run, *rest = shlex.split(spec["entrypoint"])
    assert python == "python" and (ROOT / job).is_file()
    config = load(ROOT / run, rest[1::2])
    assert set(rest[::2]) == {"--set"}
    (group,) = clusters()["job"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    each = int(limits["nvidia.com/gpu"])
    assert config.exec.gpu and config.exec.workers == group["replicas"] * each
    assert config.exec.cpus_per_worker * each < float(limits["cpu"]), "one CPU at least for Ray and the loader"
    assert config.run.train.episodes % config.exec.workers == 0
    for path in (config.exec.store, config.exec.runs, config.exec.simulated):
        assert Path(path).is_relative_to("/shared"), "a relative one would be gone with the job"
    environment = yaml.safe_load(spec["runtimeEnvYAML"])
    assert environment["working_dir"].startswith("file:///shared/") and environment["working_dir"].endswith(".zip")
    assert environment["env_vars"] == yaml.safe_load((CLUSTER / "env" / "dev.yaml").read_text())["env_vars"]
