from __future__ import annotations

import pytest

from ior_nb.doctor.doing import Answers, judge
from ior_nb.doctor.places import PLACES, Place, find
from tests.doctor.machine import BOTH, DIST_PACKAGES, DOCKER, LOADED, Machine

POD = "0::/\n"
# How each place shows itself: files, variables.
SIGNS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "plain": ({}, {}),
    "WSL2": ({"proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2"}, {}),
    "JupyterHub": ({}, {"JUPYTERHUB_USER": "ada"}),
    "Docker": ({".dockerenv": "", "proc/1/cgroup": POD}, {}),
    "Podman": ({"run/.containerenv": 'engine="podman-5.6.2"\nrootless=1\n', "proc/1/cgroup": POD}, {}),
    "Kubernetes": ({"proc/1/cgroup": POD}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    "JupyterHub on Kubernetes": (
        {"proc/1/cgroup": POD},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JUPYTERHUB_USER": "ada"},
    ),
    "JupyterHub in Docker": ({".dockerenv": ""}, {"JUPYTERHUB_USER": "ada"}),
    "GitHub Codespaces": ({".dockerenv": ""}, {"CODESPACES": "true"}),
    "container": ({"proc/1/cgroup": POD}, {}),
    "Google Colab": ({".dockerenv": ""}, {"COLAB_RELEASE_TAG": "release-colab"}),
    "Binder": ({}, {"BINDER_LAUNCH_HOST": "https://b.org/", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    "gVisor": ({"proc/sys/kernel/osrelease": "4.19.0-gvisor"}, {}),
}
RECORDING = "look at a recording: %ior load PATH in a notebook, ior_nb.load(PATH) in Python"
SETPRIV = (
    'sudo setpriv --reuid="$USER" --regid="$(id -g)" --init-groups --inh-caps=+bpf,+perfmon'
    ' --ambient-caps=+bpf,+perfmon env HOME="$HOME" "$(command -v jupyter)" lab'
)
REMOUNT = (
    'let the numbers of trace events be read: sudo mount -o remount,gid="$(id -g)",mode=750 /sys/kernel/tracing'
    ' (where it is not mounted: sudo mount -t tracefs -o gid="$(id -g)",mode=750 tracefs /sys/kernel/tracing)'
)


def at(machine: Machine, place: str) -> Machine:
    """Make the machine look like a place."""
    files, variables = SIGNS[place]
    for name, content in files.items():
        machine.write(name, content)
    machine.environment |= variables
    return machine


@pytest.mark.parametrize("place", SIGNS)
def test_a_place_is_told_by_its_signs(machine: Machine, place: str) -> None:
    """Each is recognised from files and variables, and never taken for one that shares some of them."""
    at(machine, place).status(effective=0, bounding=DOCKER)

    assert find(machine.host)[0].name == (place if place != "plain" else "")


@pytest.mark.parametrize(
    ("place", "name", "content"),
    [
        ("gVisor", "proc/version", "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n"),
        ("Kubernetes", "proc/1/cgroup", "0::/kubepods/besteffort/pod1\n"),
        ("Kubernetes", "run/secrets/kubernetes.io/serviceaccount/token", "x"),
        ("Kubernetes", "var/run/secrets/kubernetes.io/serviceaccount/token", "x"),
        ("Docker", "proc/1/cgroup", "12:pids:/docker/4f65\n"),
        ("Podman", "run/.containerenv", ""),
        ("Podman", "proc/1/cgroup", "0::/machine.slice/libpod-4f65.scope\n"),
        ("container", "run/systemd/container", "lxc\n"),
        ("container", "proc/1/cgroup", "0::/system.slice/containerd-4f65.scope\n"),
    ],
)
def test_some_places_have_other_signs_too(machine: Machine, place: str, name: str, content: str) -> None:
    """Older versions and other managers leave other traces."""
    machine.write(name, content)

    assert find(machine.host)[0].name == place


def test_a_machine_that_bounds_its_services_is_no_container(machine: Machine) -> None:
    """A bounding set without CAP_BPF means a container only where the cgroup's root is all that can be seen."""
    machine.status(effective=0, bounding=DOCKER)

    assert find(machine.host)[0].name == ""


def test_the_place_is_shown_with_the_distribution_and_its_sign(machine: Machine) -> None:
    """A reader sees why the place was taken for what it is; a rootless Podman says so."""
    assert machine.findings()["place"].seen == "Debian GNU/Linux 12 (bookworm)"
    assert at(machine, "Podman").findings()["place"].seen == (
        "Debian GNU/Linux 12 (bookworm), Podman (/run/.containerenv, rootless)"
    )


# Place, and the very line that gives root the capabilities its bounding set lacks.
CAPABILITIES = [
    ("Docker", "docker run --cap-add=BPF --cap-add=PERFMON ..."),
    ("Podman", "sudo podman run --cap-add=BPF --cap-add=PERFMON --security-opt seccomp=unconfined ..."),
    ("Kubernetes", "securityContext: {capabilities: {add: [BPF, PERFMON]}} in the container's spec"),
    (
        "JupyterHub on Kubernetes",
        (
            'c.KubeSpawner.container_security_context = {"capabilities": {"add": ["BPF", "PERFMON"]}}'
            " in jupyterhub_config.py"
        ),
    ),
    (
        "JupyterHub in Docker",
        'c.DockerSpawner.extra_host_config = {"cap_add": ["BPF", "PERFMON"]} in jupyterhub_config.py',
    ),
    ("GitHub Codespaces", '"capAdd": ["BPF", "PERFMON"] in devcontainer.json, then rebuild the container'),
    (
        "container",
        (
            "start it with both: docker run --cap-add=BPF --cap-add=PERFMON ..., in Kubernetes"
            " securityContext: {capabilities: {add: [BPF, PERFMON]}}"
        ),
    ),
    ("plain", "start Jupyter from a login shell: sudo has no effect here"),
    ("WSL2", "start Jupyter from a login shell: sudo has no effect here"),
    (
        "JupyterHub",
        (
            'c.SystemdSpawner.unit_extra_properties = {"AmbientCapabilities": "CAP_BPF CAP_PERFMON"}'
            " in jupyterhub_config.py (systemdspawner)"
        ),
    ),
]


@pytest.mark.parametrize(("place", "line"), CAPABILITIES)
def test_capabilities_of_a_bounding_set(machine: Machine, place: str, line: str) -> None:
    """What the bounding set lacks is given by whoever starts the place, never by sudo inside."""
    at(machine, place).status(effective=0, bounding=DOCKER)

    finding = machine.findings()["rights"]

    assert (finding.ok, finding.todo) == (False, line)


# Place, and the line for a user who is not root and has no sudo, where the capabilities are to be had.
FOR_USERS = [
    ("plain", SETPRIV),
    ("WSL2", SETPRIV),
    ("JupyterHub", CAPABILITIES[-1][1]),
    ("Docker", "docker run --user root -e GRANT_SUDO=yes --cap-add=BPF --cap-add=PERFMON ..."),
    ("Podman", CAPABILITIES[1][1]),
    (
        "Kubernetes",
        (
            "securityContext: {runAsUser: 0, allowPrivilegeEscalation: true, capabilities: {add: [BPF, PERFMON]}},"
            ' env: [{name: GRANT_SUDO, value: "yes"}] in the container\'s spec'
        ),
    ),
    (
        "JupyterHub on Kubernetes",
        "c.KubeSpawner.uid = 0; c.KubeSpawner.allow_privilege_escalation = True;"
        ' c.KubeSpawner.environment.update({"GRANT_SUDO": "yes"}); ' + CAPABILITIES[3][1],
    ),
    (
        "JupyterHub in Docker",
        (
            'c.DockerSpawner.extra_host_config = {"cap_add": ["BPF", "PERFMON"]};'
            ' c.DockerSpawner.extra_create_kwargs = {"user": "root"};'
            ' c.DockerSpawner.environment.update({"GRANT_SUDO": "yes"}) in jupyterhub_config.py'
        ),
    ),
    (
        "GitHub Codespaces",
        '"capAdd": ["BPF", "PERFMON"], "remoteUser": "root" in devcontainer.json, then rebuild the container',
    ),
]


@pytest.mark.parametrize(("place", "line"), FOR_USERS)
def test_capabilities_of_a_user(machine: Machine, place: str, line: str) -> None:
    """Docker and Kubernetes give capabilities to root alone: a user inside is told of both."""
    at(machine, place).status(effective=0, uid=1000)

    finding = machine.findings()["rights"]

    assert (finding.ok, finding.todo) == (False, line)


def test_the_setpriv_of_busybox_is_replaced(machine: Machine) -> None:
    """On Alpine it cannot do it: the line brings the other one along."""
    machine.link("bin/setpriv", "/bin/busybox")
    machine.status(effective=0, uid=1000)

    assert machine.findings()["rights"].todo == f"sudo apk add setpriv && {SETPRIV}"


@pytest.mark.parametrize("place", ["Docker", "GitHub Codespaces", "Kubernetes", "JupyterHub on Kubernetes"])
def test_a_user_with_sudo_needs_the_capabilities_only(machine: Machine, place: str) -> None:
    """Where sudo asks for no password the user may stay who he is."""
    at(machine, place).status(effective=0, bounding=DOCKER, uid=1000)
    machine.sudo = True

    assert machine.findings()["rights"].todo == dict(CAPABILITIES)[place]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("plain", "start Jupyter outside of the user namespace (unshare, bubblewrap, Apptainer)"),
        ("Podman", "rootful: sudo podman run --cap-add=BPF --cap-add=PERFMON --security-opt seccomp=unconfined ..."),
        (
            "Docker",
            "with the daemon of the machine's root: sudo docker run --userns=host --cap-add=BPF --cap-add=PERFMON ...",
        ),
        ("Kubernetes", "hostUsers: true in the pod's spec"),
        ("JupyterHub on Kubernetes", 'c.KubeSpawner.extra_pod_config = {"hostUsers": True} in jupyterhub_config.py'),
    ],
)
def test_capabilities_of_a_user_namespace_do_not_count(machine: Machine, place: str, line: str) -> None:
    """A rootless container shows every capability, and none of them reaches bpf(2)."""
    at(machine, place).link("proc/self/ns/user", "user:[4026532219]")

    finding = machine.findings()["rights"]

    assert (finding.ok, finding.todo) == (False, line)


@pytest.mark.parametrize("place", ["Google Colab", "Binder", "gVisor"])
def test_a_place_without_hope_says_so_and_nothing_else(machine: Machine, place: str) -> None:
    """Where nobody gets the rights one line says so, and what works instead."""
    at(machine, place).status(effective=0, bounding=DOCKER)
    machine.remove(f"{DIST_PACKAGES}/bcc/__init__.py")

    findings = machine.look()

    assert [(finding.name, finding.ok, finding.todo) for finding in findings] == [("place", False, RECORDING)]
    assert findings[0].seen.startswith(f"{place} (")


def test_a_colab_of_ones_own_may_have_the_rights(machine: Machine) -> None:
    """Colab's page can be used with a container of one's own: what is there counts."""
    at(machine, "Google Colab").status(effective=BOTH)

    assert [finding for finding in machine.look() if finding.ok is False] == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("plain", "see what forbids it: sudo dmesg | tail; with SELinux: sudo ausearch -m avc -ts recent"),
        ("Docker", "docker run --cap-add=BPF --cap-add=PERFMON --security-opt seccomp=unconfined ..."),
        (
            "Podman",
            (
                "sudo podman run --cap-add=BPF --cap-add=PERFMON --security-opt seccomp=unconfined"
                " --security-opt label=disable ..."
            ),
        ),
        (
            "Kubernetes",
            (
                "securityContext: {seccompProfile: {type: Unconfined}, capabilities: {add: [BPF, PERFMON]}}"
                " in the container's spec"
            ),
        ),
        (
            "JupyterHub on Kubernetes",
            (
                'c.KubeSpawner.container_security_context = {"capabilities": {"add": ["BPF", "PERFMON"]},'
                ' "seccompProfile": {"type": "Unconfined"}} in jupyterhub_config.py'
            ),
        ),
        (
            "JupyterHub in Docker",
            (
                'c.DockerSpawner.extra_host_config = {"cap_add": ["BPF", "PERFMON"],'
                ' "security_opt": ["seccomp=unconfined"]} in jupyterhub_config.py'
            ),
        ),
        (
            "GitHub Codespaces",
            '"capAdd": ["BPF", "PERFMON"], "securityOpt": ["seccomp=unconfined"] in devcontainer.json, then rebuild',
        ),
    ],
)
def test_rights_that_have_no_effect(machine: Machine, place: str, line: str) -> None:
    """Where the capabilities are there and the kernel says no, something stands between; the line takes it away."""
    refused = {"ok": False, "kind": "ProgramRejected", "log": "", "message": "the map 'trial': Operation not permitted"}
    host = at(machine, place).host

    (finding,) = judge(Answers(refused, {}), host, find(host)[0])

    assert (finding.name, finding.ok, finding.todo) == ("trial", False, line)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("plain", "sudo prlimit --pid $$ --memlock=unlimited:unlimited, in the shell that starts Jupyter"),
        ("Docker", "docker run --cap-add=BPF --cap-add=PERFMON --ulimit memlock=-1 ..."),
        (
            "Podman",
            "sudo podman run --cap-add=BPF --cap-add=PERFMON --security-opt seccomp=unconfined --ulimit memlock=-1 ...",
        ),
        (
            "Kubernetes",
            "securityContext: {capabilities: {add: [BPF, PERFMON, SYS_RESOURCE]}} in the container's spec",
        ),
    ],
)
def test_locked_memory(machine: Machine, place: str, line: str) -> None:
    """On an old kernel the limit is lifted where the place sets it."""
    at(machine, place).write("proc/sys/kernel/osrelease", "5.10.0")
    machine.limit_memory("65536", "65536")
    machine.status(effective=BOTH, bounding=BOTH)

    finding = machine.findings()["locked memory"]

    assert (finding.ok, finding.todo) == (False, line)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("plain", REMOUNT),
        ("WSL2", REMOUNT),
        (
            "Docker",
            (
                "let the numbers of trace events be read: docker run --cap-add=BPF --cap-add=PERFMON"
                " -v /sys/kernel/tracing:/sys/kernel/tracing:ro ..."
            ),
        ),
        (
            "Podman",
            (
                "let the numbers of trace events be read: sudo podman run --user root --cap-add=BPF --cap-add=PERFMON"
                " --security-opt seccomp=unconfined -v /sys/kernel/tracing:/sys/kernel/tracing:ro ..."
            ),
        ),
        (
            "GitHub Codespaces",
            (
                'let the numbers of trace events be read: "privileged": true in devcontainer.json, then rebuild the'
                " container"
            ),
        ),
    ],
)
def test_numbers_of_trace_events(machine: Machine, place: str, line: str) -> None:
    """Where they cannot be read the line mounts them, or lets them be read."""
    trial = {"ok": True, "calls": 10, "counted": 10}
    load = LOADED | {"way": "raw-preemptible", "notes": ["may skip"]}
    host = at(machine, place).host

    found = {finding.name: finding for finding in judge(Answers(trial, load), host, find(host)[0])}

    assert (found["hooks"].ok, found["hooks"].todo) == (None, line)


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("5.10.16.3-microsoft-standard-WSL2", "in PowerShell: wsl --update; wsl --shutdown"),
        ("5.15.49-linuxkit", "update Docker Desktop to 4.30 or newer"),
    ],
)
def test_a_kernel_without_btf_is_replaced_by_whoever_gives_it(machine: Machine, release: str, line: str) -> None:
    """Nobody boots another kernel in WSL or Docker Desktop: a newer version brings one."""
    machine.write("proc/sys/kernel/osrelease", release)
    machine.remove("sys/kernel/btf/vmlinux")

    assert machine.findings()["BTF"].todo == line


PIP = " (never `pip install bcc`: another project)"


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian\n", "sudo apt-get install python3-bpfcc"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "sudo apt-get install python3-bpfcc"),
        ('ID=pop\nID_LIKE="ubuntu debian"\n', "sudo apt-get install python3-bpfcc"),
        ("ID=ubuntu\nID_LIKE=debian\n", "sudo apt-get install python3-bpfcc"),
        ("ID=fedora\n", "sudo dnf install python3-bcc"),
        ('ID="rhel"\nID_LIKE="fedora"\n', "sudo dnf install python3-bcc"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install python3-bcc"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install python3-bcc"),
        ('ID="centos"\nID_LIKE="rhel fedora"\n', "sudo dnf install python3-bcc"),
        ('ID="amzn"\nID_LIKE="fedora"\n', "sudo dnf install python3-bcc"),
        ("ID=arch\n", "sudo pacman -S python-bcc"),
        ("ID=alpine\n", "sudo apk add py3-bcc"),
        ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', "sudo zypper install python3-bcc"),
        ("ID=nixos\n", "install your distribution's Python 3 package of bcc"),
        ("", "install your distribution's Python 3 package of bcc"),
    ],
)
def test_a_missing_bcc_names_the_command_of_the_distribution(machine: Machine, release: str, line: str) -> None:
    """What to install is said in the words of this distribution, or of the one it is made from."""
    machine.write("etc/os-release", release)
    machine.status(uid=1000)
    machine.remove(f"{DIST_PACKAGES}/bcc/__init__.py")

    finding = machine.findings()["bcc"]

    assert (finding.ok, finding.todo) == (False, line + PIP)


@pytest.mark.parametrize(
    ("place", "uid", "sudo", "line"),
    [
        ("plain", 0, True, "apt-get install python3-bpfcc"),
        ("WSL2", 1000, True, "sudo apt-get install python3-bpfcc"),
        ("Docker", 0, False, "apt-get update && apt-get install -y python3-bpfcc"),
        ("Docker", 1000, True, "sudo apt-get update && sudo apt-get install -y python3-bpfcc"),
        (
            "Docker",
            1000,
            False,
            "in the Dockerfile, as root: RUN apt-get update && apt-get install -y python3-bpfcc",
        ),
    ],
)
def test_who_installs_bcc(machine: Machine, place: str, uid: int, sudo: bool, line: str) -> None:
    """Root needs no sudo; in an image without it the Dockerfile is the place; images have no lists of packages."""
    at(machine, place).status(effective=BOTH, uid=uid)
    machine.remove(f"{DIST_PACKAGES}/bcc/__init__.py")
    if not sudo:
        machine.remove("usr/bin/sudo")

    assert machine.findings()["bcc"].todo == line + PIP


@pytest.mark.parametrize("place", [place for place in PLACES if not place.never], ids=lambda place: place.name)
def test_every_row_has_every_line(place: Place) -> None:
    """A place where rights can be had has a line for all that may be missing; none inside a container uses setpriv."""
    lines = (place.rights, place.outside, place.allowed, place.memory, place.numbers)

    assert all(lines)
    assert not (place.contained and any("setpriv" in line for line in lines))
