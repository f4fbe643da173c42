"""What a cluster is given: the image and the DaemonSet of the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ior_nb.engine.collector.served import __main__ as served

FOLDER = Path(__file__).resolve().parents[1] / "contrib" / "kubernetes"
yaml = pytest.importorskip("yaml")


@pytest.fixture
def spec() -> Any:
    """The specification of the pods."""
    (document,) = yaml.safe_load_all((FOLDER / "daemonset.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("apps/v1", "DaemonSet")
    assert document["spec"]["selector"]["matchLabels"] == document["spec"]["template"]["metadata"]["labels"]
    return document["spec"]["template"]["spec"]


def test_the_pod_sees_the_nodes_processes_and_has_few_rights(spec: Any) -> None:
    """It is not privileged; what it begins with beyond tracing is what giving rights up takes."""
    (container,) = spec["containers"]
    rights = container["securityContext"]

    assert spec["hostPID"] is True
    assert "privileged" not in rights
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"]["drop"] == ["ALL"]
    assert set(rights["capabilities"]["add"]) == {"BPF", "PERFMON", "SETUID", "SETGID", "SETPCAP", "SYS_RESOURCE"}
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in spec["volumes"]}


def test_the_service_takes_what_it_is_started_with(spec: Any) -> None:
    """The arguments of the DaemonSet and of the image are options it has, and both name one socket."""
    (container,) = spec["containers"]
    text = (FOLDER / "Containerfile").read_text()
    found = re.search(r'^CMD \["(.*)"\]$', text, re.M)
    assert found is not None
    options = served._parser().parse_args(found[1].split('", "'))

    assert served._parser().parse_args(container["args"]) == options
    assert options.socket == "/run/ior-nb/socket"
    assert f"IOR_NB_SOCKET={options.socket}" in (FOLDER / "daemonset.yaml").read_text()
    assert '"ior_nb.engine.collector.served"]' in text
