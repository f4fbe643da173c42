"""The places people are: how each is told, and the very lines that give there what is missing.

A line may be printed only where it works. So a place inside a container never says `sudo setpriv`, a user who is not
root inside one is told of root as well (Docker and Kubernetes give added capabilities to root alone, Podman to
everybody), and a place where nobody gets the rights says so.

A new place is one row of `PLACES`, before those it would be taken for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ior_nb.doctor.host import Host
from ior_nb.engine.collector.advice import EVENT_NUMBERS_READABLE
from ior_nb.engine.collector.rights import enough

__all__ = ["DISTRIBUTIONS", "PLACES", "Place", "find", "install_line", "newer_kernel", "rights_line"]

# Distribution, or what it is like -> how bcc is installed.
DISTRIBUTIONS: Final = {
    "debian": "apt-get install python3-bpfcc",
    "ubuntu": "apt-get install python3-bpfcc",
    "fedora": "dnf install python3-bcc",
    "rhel": "dnf install python3-bcc",
    "centos": "dnf install python3-bcc",
    "amzn": "dnf install python3-bcc",
    "arch": "pacman -S python-bcc",
    "alpine": "apk add py3-bcc",
    "opensuse": "zypper install python3-bcc",
    "suse": "zypper install python3-bcc",
}

# Part of a kernel's release -> how one gets a newer one, with BTF.
_KERNELS: Final = {
    "microsoft": "in PowerShell: wsl --update; wsl --shutdown",  # BTF since 5.15.74, microsoft/WSL#9270
    "linuxkit": "update Docker Desktop to 4.30 or newer",  # BTF since then, docker/for-mac#6800
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place. Each line is complete: what it gives comes with the rights."""

    name: str
    sign: Callable[[Host], str]
    """Returns what it is told by, nothing where it is not."""
    never: str = ""
    """Why nobody gets the rights here; the lines below are empty then."""
    rights: str = ""
    """The line that gives the capabilities."""
    as_root: str = ""
    """The same for a user who is not root and cannot become it; empty where `rights` is right for all."""
    outside: str = ""
    """The same where capabilities are those of a user namespace."""
    allowed: str = ""
    """What lets the kernel be asked although the rights are there and it said no."""
    memory: str = ""
    """What lifts the limit of locked memory."""
    numbers: str = ""
    """What lets the numbers of the trace events be read."""
    contained: bool = True
    """Whether it is made from an image, with its own packages and a kernel somebody else boots."""


# ---- signs


def _variables(*prefixes: str) -> Callable[[Host], str]:
    """Told by a variable whose name begins so."""

    def sign(host: Host) -> str:
        return next((name for name in sorted(host.environment) if name.startswith(prefixes)), "")

    return sign


def _all(*signs: Callable[[Host], str]) -> Callable[[Host], str]:
    def sign(host: Host) -> str:
        found = [one(host) for one in signs]
        return ", ".join(found) if all(found) else ""

    return sign


def _gvisor(host: Host) -> str:
    built = "#1 SMP Sun Jan 10 15:06:54 PST 2016"  # a constant of gVisor; its release was 4.4.0 before it said so
    if "gvisor" in host.release.lower():
        return host.release
    return "/proc/version" if built in host.text("proc/version") else ""


def _cgroup(host: Host, *words: str) -> str:
    text = host.text("proc/1/cgroup")
    return next((f"{word} in /proc/1/cgroup" for word in words if word in text), "")


def _kubernetes(host: Host) -> str:
    account = "run/secrets/kubernetes.io"
    told = _variables("KUBERNETES_SERVICE_HOST")(host) or _cgroup(host, "kubepods")
    return told or next((f"/{at}" for at in (account, f"var/{account}") if host.exists(at)), "")


def _podman(host: Host) -> str:
    if not host.exists("run/.containerenv"):
        return _cgroup(host, "libpod")
    return "/run/.containerenv" + (", rootless" if "rootless=1" in host.text("run/.containerenv") else "")


def _docker(host: Host) -> str:
    return "/.dockerenv" if host.exists(".dockerenv") else _cgroup(host, "docker")


def _container(host: Host) -> str:
    manager = host.text("run/systemd/container")
    if manager:
        return f"{manager} in /run/systemd/container"
    # With cgroup v2 a container sees itself as the root, and nothing else may say that it is one.
    bounded = "CapBnd" in host.status and not enough(host.capabilities("CapBnd"))
    hidden = "0::/" if bounded and "0::/" in host.text("proc/1/cgroup").splitlines() else ""
    return _cgroup(host, "containerd", "lxc") or (hidden and "no CAP_BPF in its bounding set, cgroup 0::/")


# ---- the table

_RUN: Final = "--cap-add=BPF --cap-add=PERFMON"
_ADD: Final = '["BPF", "PERFMON"]'
_POD: Final = "capabilities: {add: [BPF, PERFMON]}"
_HUB: Final = " in jupyterhub_config.py"
_PLAIN: Final = (
    'sudo setpriv --reuid="$USER" --regid="$(id -g)" --init-groups --inh-caps=+bpf,+perfmon'
    ' --ambient-caps=+bpf,+perfmon env HOME="$HOME" "$(command -v jupyter)" lab'
)
_DENIALS: Final = "see what forbids it: sudo dmesg | tail; with SELinux: sudo ausearch -m avc -ts recent"
_SHELL_MEMORY: Final = "sudo prlimit --pid $$ --memlock=unlimited:unlimited, in the shell that starts Jupyter"

PLACES: Final = (
    Place(name="gVisor", sign=_gvisor, never="it answers system calls itself and has no eBPF"),
    Place(name="Google Colab", sign=_variables("COLAB_"), never="its containers get no CAP_BPF"),
    Place(name="Binder", sign=_variables("BINDER_"), never="its containers get no CAP_BPF"),
    Place(
        name="GitHub Codespaces",
        sign=_variables("CODESPACES"),
        rights=f'"capAdd": {_ADD} in devcontainer.json, then rebuild the container',
        as_root=f'"capAdd": {_ADD}, "remoteUser": "root" in devcontainer.json, then rebuild the container',
        outside=f'"capAdd": {_ADD}, "runArgs": ["--userns=host"] in devcontainer.json, then rebuild the container',
        allowed=f'"capAdd": {_ADD}, "securityOpt": ["seccomp=unconfined"] in devcontainer.json, then rebuild',
        memory='"capAdd": ["BPF", "PERFMON", "SYS_RESOURCE"] in devcontainer.json, then rebuild the container',
        numbers='"privileged": true in devcontainer.json, then rebuild the container',
    ),
    Place(
        name="JupyterHub on Kubernetes",
        sign=_all(_variables("JUPYTERHUB_"), _kubernetes),
        rights=f'c.KubeSpawner.container_security_context = {{"capabilities": {{"add": {_ADD}}}}}{_HUB}',
        as_root=(
            "c.KubeSpawner.uid = 0; c.KubeSpawner.allow_privilege_escalation = True;"
            ' c.KubeSpawner.environment.update({"GRANT_SUDO": "yes"});'
            f' c.KubeSpawner.container_security_context = {{"capabilities": {{"add": {_ADD}}}}}{_HUB}'
        ),
        outside=f'c.KubeSpawner.extra_pod_config = {{"hostUsers": True}}{_HUB}',
        allowed=(
            f'c.KubeSpawner.container_security_context = {{"capabilities": {{"add": {_ADD}}},'
            f' "seccompProfile": {{"type": "Unconfined"}}}}{_HUB}'
        ),
        memory=(
            'c.KubeSpawner.container_security_context = {"capabilities": {"add": ["BPF", "PERFMON", "SYS_RESOURCE"]}}'
            + _HUB
        ),
        numbers=f"c.KubeSpawner.privileged = True{_HUB}",
    ),
    Place(
        name="JupyterHub in Docker",
        sign=_all(_variables("JUPYTERHUB_"), _docker),
        rights=f'c.DockerSpawner.extra_host_config = {{"cap_add": {_ADD}}}{_HUB}',
        as_root=(
            f'c.DockerSpawner.extra_host_config = {{"cap_add": {_ADD}}};'
            ' c.DockerSpawner.extra_create_kwargs = {"user": "root"};'
            f' c.DockerSpawner.environment.update({{"GRANT_SUDO": "yes"}}){_HUB}'
        ),
        outside=f'c.DockerSpawner.extra_host_config = {{"cap_add": {_ADD}, "userns_mode": "host"}}{_HUB}',
        allowed=(
            f'c.DockerSpawner.extra_host_config = {{"cap_add": {_ADD}, "security_opt": ["seccomp=unconfined"]}}{_HUB}'
        ),
        memory=f'c.DockerSpawner.extra_host_config = {{"cap_add": ["BPF", "PERFMON", "SYS_RESOURCE"]}}{_HUB}',
        numbers=f'c.DockerSpawner.extra_host_config = {{"privileged": True}}{_HUB}',
    ),
    Place(
        name="Kubernetes",
        sign=_kubernetes,
        rights=f"securityContext: {{{_POD}}} in the container's spec",
        as_root=(
            f"securityContext: {{runAsUser: 0, allowPrivilegeEscalation: true, {_POD}}},"
            ' env: [{name: GRANT_SUDO, value: "yes"}] in the container\'s spec'
        ),
        outside="hostUsers: true in the pod's spec",
        allowed=f"securityContext: {{seccompProfile: {{type: Unconfined}}, {_POD}}} in the container's spec",
        memory="securityContext: {capabilities: {add: [BPF, PERFMON, SYS_RESOURCE]}} in the container's spec",
        numbers=(
            "volumes: [{name: tracing, hostPath: {path: /sys/kernel/tracing}}] in the pod's spec, volumeMounts:"
            " [{name: tracing, mountPath: /sys/kernel/tracing, readOnly: true}] in the container's"
        ),
    ),
    Place(
        name="Podman",
        sign=_podman,
        # Its default profile of system calls knew CAP_BPF late: containers/common#1988.
        rights=f"sudo podman run {_RUN} --security-opt seccomp=unconfined ...",
        outside=f"rootful: sudo podman run {_RUN} --security-opt seccomp=unconfined ...",
        allowed=f"sudo podman run {_RUN} --security-opt seccomp=unconfined --security-opt label=disable ...",
        memory=f"sudo podman run {_RUN} --security-opt seccomp=unconfined --ulimit memlock=-1 ...",
        numbers=(
            f"sudo podman run --user root {_RUN} --security-opt seccomp=unconfined"
            " -v /sys/kernel/tracing:/sys/kernel/tracing:ro ..."
        ),
    ),
    Place(
        name="Docker",
        sign=_docker,
        rights=f"docker run {_RUN} ...",
        as_root=f"docker run --user root -e GRANT_SUDO=yes {_RUN} ...",
        outside=f"with the daemon of the machine's root: sudo docker run --userns=host {_RUN} ...",
        allowed=f"docker run {_RUN} --security-opt seccomp=unconfined ...",  # before Docker 23, moby/moby#43987
        memory=f"docker run {_RUN} --ulimit memlock=-1 ...",
        numbers=f"docker run {_RUN} -v /sys/kernel/tracing:/sys/kernel/tracing:ro ...",
    ),
    Place(
        name="container",
        sign=_container,
        rights=f"start it with both: docker run {_RUN} ..., in Kubernetes securityContext: {{{_POD}}}",
        as_root=(
            f"start it as root with both: docker run --user root {_RUN} ..., in Kubernetes"
            f" securityContext: {{runAsUser: 0, {_POD}}}"
        ),
        outside="start it privileged, in the user namespace of the machine (not rootless)",
        allowed="start it without a filter of system calls: docker run --security-opt seccomp=unconfined ...",
        memory="start it with CAP_SYS_RESOURCE as well",
        numbers="start it with /sys/kernel/tracing of the machine mounted",
    ),
    Place(
        name="JupyterHub",
        sign=_variables("JUPYTERHUB_"),
        rights=(
            'c.SystemdSpawner.unit_extra_properties = {"AmbientCapabilities": "CAP_BPF CAP_PERFMON"}'
            f"{_HUB} (systemdspawner)"
        ),
        outside="start the hub outside of the user namespace",
        allowed=_DENIALS,
        memory=(
            'c.SystemdSpawner.unit_extra_properties = {"AmbientCapabilities": "CAP_BPF CAP_PERFMON",'
            f' "LimitMEMLOCK": "infinity"}}{_HUB} (systemdspawner)'
        ),
        numbers=EVENT_NUMBERS_READABLE,
        contained=False,
    ),
    Place(
        name="WSL2",
        sign=lambda host: host.release if "microsoft" in host.release.lower() else "",
        rights=_PLAIN,
        outside="start Jupyter outside of the user namespace",
        allowed=_DENIALS,
        memory=_SHELL_MEMORY,
        numbers=EVENT_NUMBERS_READABLE,
        contained=False,
    ),
    Place(
        name="",
        sign=lambda host: "nothing else",
        rights=_PLAIN,
        outside="start Jupyter outside of the user namespace (unshare, bubblewrap, Apptainer)",
        allowed=_DENIALS,
        memory=_SHELL_MEMORY,
        numbers=EVENT_NUMBERS_READABLE,
        contained=False,
    ),
)


def find(host: Host) -> tuple[Place, str]:
    """Return the place, and what it is told by."""
    return next((place, told) for place in PLACES if (told := place.sign(host)))


def newer_kernel(host: Host) -> str:
    """Return how one gets a kernel that can be used here; empty where that is the machine's own affair."""
    return next((line for part, line in _KERNELS.items() if part in host.release.lower()), "")


def rights_line(host: Host, place: Place) -> str:
    """Return the line that gives this user the capabilities."""
    if place.contained:
        return place.as_root if place.as_root and not (host.is_root or host.sudo) else place.rights
    if not place.rights.startswith("sudo "):
        return place.rights
    if host.no_new_privs or not enough(host.capabilities("CapBnd")):
        return "start Jupyter from a login shell: sudo has no effect here"
    # The setpriv of busybox, on Alpine, knows neither users nor these two by name.
    small = any("busybox" in host.link(f"{folder}/setpriv") for folder in ("bin", "usr/bin"))
    return _with_sudo(host, *(["apk add setpriv"] if small else []), place.rights.removeprefix("sudo "))


def install_line(host: Host, place: Place) -> str:
    """Return the line that installs bcc."""
    commands = (DISTRIBUTIONS.get(name.partition("-")[0]) for name in host.distribution)
    command = next(filter(None, commands), "")
    if not command:
        return "install your distribution's Python 3 package of bcc"
    parts = [command]
    if place.contained and command.startswith("apt-get"):  # an image has no lists of packages, and nobody to answer
        parts = ["apt-get update", command.replace("install", "install -y")]
    if place.contained and not host.is_root and not host.exists("usr/bin/sudo"):
        return f"in the Dockerfile, as root: RUN {' && '.join(parts)}"
    return _with_sudo(host, *parts)


def _with_sudo(host: Host, *commands: str) -> str:
    return " && ".join(command if host.is_root else f"sudo {command}" for command in commands)
