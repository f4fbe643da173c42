from __future__ import annotations

import platform
from pathlib import Path

import pytest

from ior_nb.doctor import Finding, examine
from ior_nb.engine.collector.btf import NEEDED_HELPERS
from ior_nb.engine.collector.distribution import find_bcc
from ior_nb.syscalls import machine as architecture
from tests.doctor.machine import BOTH, DIST_PACKAGES, FULL, Machine


def test_a_good_machine_has_no_failure_and_no_remark(machine: Machine) -> None:
    """Where everything is right, every finding is good and asks for nothing."""
    findings = machine.look()

    assert [finding for finding in findings if finding.ok is not True or finding.todo] == []
    assert [finding.name for finding in findings] == [
        *("place", "system", "kernel", "BTF", "bcc", "rights"),
        *("lockdown", "pid namespace"),
    ]


def test_an_empty_tree_is_examined_without_an_exception(tmp_path: Path) -> None:
    """A missing file is a finding, never an exception; each failure says what to do in one line."""
    findings = examine(tmp_path)

    assert {"BTF", "bcc"} <= {finding.name for finding in findings if finding.ok is False}
    assert all(finding.todo and "\n" not in finding.todo for finding in findings if finding.ok is False)


def test_this_machine_is_examined_without_an_exception() -> None:
    """The real tree, whatever machine this is, gives findings with unlike names."""
    names = [finding.name for finding in examine()]

    assert len(names) == len(set(names))
    assert names[:1] == ["place"]


# ---- system and kernel


def test_another_system_fails(machine: Machine) -> None:
    """Only Linux can be traced; elsewhere a recording can be looked at, and nothing else is asked for."""
    machine.write("proc/sys/kernel/ostype", "FreeBSD\n")

    findings = machine.findings()

    assert list(findings) == ["place", "system"]
    assert findings["system"].ok is False
    assert "%ior load PATH" in findings["system"].todo


def test_another_architecture_fails(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing needs a table of this machine's system calls."""
    monkeypatch.setattr(architecture, "SUPPORTED", False)

    assert machine.findings()["system"].ok is False


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_emulated_programs_are_told_by_the_kernels_own_structs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, processor: str
) -> None:
    """Python says x86-64 and the kernel's BTF has a struct of another processor: an image for that is needed."""
    monkeypatch.setattr(platform, "machine", lambda: processor)
    machine.write("sys/kernel/btf/vmlinux", b"\x9f\xeb\x01\x00\0user_pt_regs\0")

    finding = machine.findings()["system"]

    assert finding.ok is (processor != "x86_64")
    assert finding.todo == (
        "use an image for the machine's own processor: docker run --platform=linux/arm64 ..."
        if processor == "x86_64"
        else ""
    )


@pytest.mark.parametrize(
    ("release", "ok"),
    [
        ("4.18.0-553.el8_10.x86_64", False),
        ("5.7.19", False),
        ("5.8.0", None),
        ("5.9.16", None),
        ("5.10.223", True),
        ("5.14.0-427.el9.x86_64", True),
        ("6.1.0", True),
        ("10.0", True),
        ("strange", None),
    ],
)
def test_the_kernel_release_decides(machine: Machine, release: str, ok: bool | None) -> None:
    """Below 5.8 tracing fails, below 5.10 it is untried; releases are compared as numbers."""
    machine.write("proc/sys/kernel/osrelease", release)

    assert machine.findings()["kernel"].ok is ok


def test_an_old_kernel_is_told_of_recordings(machine: Machine) -> None:
    """Where the kernel cannot trace, the line says which can, and what works without."""
    machine.write("proc/sys/kernel/osrelease", "5.4.0-190-generic")

    assert machine.findings()["kernel"].todo == (
        "boot Linux 5.10 or newer, or look at a recording: %ior load PATH in a notebook, ior_nb.load(PATH) in Python"
    )


def test_an_old_number_with_the_bpf_of_a_newer_kernel_is_a_remark(machine: Machine) -> None:
    """Distributions carry BPF back: what the kernel says it has counts, not its number."""
    machine.write("proc/sys/kernel/osrelease", "4.18.0-553.el8_10.x86_64")
    helpers = "\0".join(f"BPF_FUNC_{name}" for name in NEEDED_HELPERS)
    machine.write("sys/kernel/btf/vmlinux", b"\x9f\xeb\x01\x00\0" + helpers.encode() + b"\0")

    assert machine.findings()["kernel"].ok is None


def test_a_kernel_without_btf_fails(machine: Machine) -> None:
    """Offsets of kernel structs come from BTF: without it nothing can be read."""
    machine.remove("sys/kernel/btf/vmlinux")

    finding = machine.findings()["BTF"]

    assert finding.ok is False
    assert "CONFIG_DEBUG_INFO_BTF" in finding.todo
    assert "%ior load PATH" in finding.todo


def test_a_missing_sys_is_not_the_kernels_fault(machine: Machine) -> None:
    """In a chroot without /sys the line that mounts it is given."""
    for file in ("btf/vmlinux", "security/lockdown"):
        machine.remove(f"sys/kernel/{file}")
    for folder in ("btf", "security", ""):
        (machine.root / "sys/kernel" / folder).rmdir()

    assert machine.findings()["BTF"].todo == "mount -t sysfs sysfs /sys"


@pytest.mark.parametrize("content", [b"", b"\x7fELF"])
def test_a_file_that_is_no_btf_fails(machine: Machine, content: bytes) -> None:
    """The file must begin with BTF's magic number."""
    machine.write("sys/kernel/btf/vmlinux", content)

    assert machine.findings()["BTF"].ok is False


def test_btf_that_cannot_be_read_fails(machine: Machine) -> None:
    """An error other than absence is shown as the system words it."""
    machine.remove("sys/kernel/btf/vmlinux")
    (machine.root / "sys/kernel/btf/vmlinux").mkdir()

    finding = machine.findings()["BTF"]

    assert finding.ok is False
    assert "Is a directory" in finding.seen


# ---- bcc


@pytest.mark.parametrize(
    "folder",
    [
        "usr/lib/python3/dist-packages",
        "usr/local/lib/python3/dist-packages",
        "usr/lib/python3.13/site-packages",
        "usr/lib64/python3.12/site-packages",
    ],
)
def test_bcc_is_found_where_distributions_put_it(tmp_path: Path, folder: str) -> None:
    """The folder to import from is returned, on Debian, Arch, Alpine and Fedora."""
    (tmp_path / folder / "bcc").mkdir(parents=True)
    (tmp_path / folder / "bcc/__init__.py").touch()
    (tmp_path / folder / "bcc/libbcc.py").touch()

    assert find_bcc(tmp_path) == tmp_path / folder


def test_a_package_that_only_shares_the_name_is_not_bcc(machine: Machine) -> None:
    """A bcc without libbcc.py is the unrelated project of the package index, and the line warns of it."""
    machine.remove(f"{DIST_PACKAGES}/bcc/libbcc.py")

    finding = machine.findings()["bcc"]

    assert finding.ok is False
    assert "never `pip install bcc`" in finding.todo


def test_bcc_without_its_library_fails(machine: Machine) -> None:
    """The Python part is useless without libbcc.so.0."""
    machine.remove("usr/lib/x86_64-linux-gnu/libbcc.so.0")

    finding = machine.findings()["bcc"]

    assert finding.ok is False
    assert finding.seen == f"0.26.0 in /{DIST_PACKAGES}/bcc, but no libbcc.so.0"


def test_a_bcc_that_hides_its_version_is_shown_by_its_place(machine: Machine) -> None:
    """The version is a courtesy: without it the folder is shown alone."""
    machine.write(f"{DIST_PACKAGES}/bcc/version.py", "from x import y\n")

    assert machine.findings()["bcc"] == Finding("bcc", True, f"/{DIST_PACKAGES}/bcc")


# ---- rights


@pytest.mark.parametrize(
    ("effective", "seen"), [(BOTH, "CAP_BPF and CAP_PERFMON"), (1 << 21, "CAP_SYS_ADMIN"), (FULL, "CAP_SYS_ADMIN")]
)
def test_two_capabilities_are_enough(machine: Machine, effective: int, seen: str) -> None:
    """CAP_BPF with CAP_PERFMON, or the older CAP_SYS_ADMIN, let a program be loaded."""
    machine.status(effective=effective)

    assert machine.findings()["rights"] == Finding("rights", True, seen)


@pytest.mark.parametrize(
    ("effective", "absent"), [(0, "CAP_BPF and CAP_PERFMON"), (1 << 39, "CAP_PERFMON"), (1 << 38, "CAP_BPF")]
)
def test_a_missing_capability_is_named(machine: Machine, effective: int, absent: str) -> None:
    """What is lacking is said by name."""
    machine.status(effective=effective, uid=1000)

    finding = machine.findings()["rights"]

    assert finding.ok is False
    assert finding.seen == f"no {absent}, and no sudo without a password"


def test_sudo_without_a_password_is_good_enough(machine: Machine) -> None:
    """Where sudo asks nothing the collector can be started through it."""
    machine.status(effective=0, uid=1000)
    machine.sudo = True

    findings = machine.findings()

    assert findings["rights"].ok is True
    assert findings["rights"].seen.endswith(
        "sudo asks for no password: every process of the machine can be traced with it"
    )
    assert "sysctl" not in findings


def test_who_is_not_root_is_told_what_his_rights_let_him_see(machine: Machine) -> None:
    """As with a Python that was given them by setcap."""
    machine.status(effective=BOTH, uid=1000)

    assert (
        machine.findings()["rights"].seen
        == "CAP_BPF and CAP_PERFMON: every process of the machine can be traced with it"
    )


def test_sudo_cannot_give_what_the_bounding_set_lacks(machine: Machine) -> None:
    """A service started without the capabilities gets none by sudo: another way to start is the only one."""
    machine.status(effective=0, bounding=FULL & ~(BOTH | 1 << 21), uid=1000)
    machine.sudo = True

    assert machine.findings()["rights"] == Finding(
        "rights",
        False,
        "no CAP_BPF and CAP_PERFMON in the bounding set",
        "start Jupyter from a login shell: sudo has no effect here",
    )


def test_no_new_privs_makes_sudo_useless(machine: Machine) -> None:
    """With no_new_privs set sudo is not even tried, and not advised."""
    machine.status(effective=0, uid=1000, no_new_privs=1)
    machine.sudo = True

    finding = machine.findings()["rights"]

    assert finding.seen == "no CAP_BPF and CAP_PERFMON, and no_new_privs is set"
    assert finding.todo == "start Jupyter from a login shell: sudo has no effect here"


def test_sudo_is_not_asked_where_rights_are_there(machine: Machine) -> None:
    """It writes to logs, and may ask a directory server."""
    host = machine.host
    host._sudo = lambda: pytest.fail("sudo was asked")

    assert host.rights_of_collector == FULL


def test_another_machines_tree_is_not_asked_for_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below another root nothing but its files is looked at."""
    monkeypatch.setattr("ior_nb.doctor.host.sudo_works", lambda: pytest.fail("sudo was asked"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    machine = Machine(tmp_path)
    machine.status(effective=0, uid=1000)

    findings = {finding.name: finding for finding in examine(tmp_path)}

    assert "Kubernetes" not in findings["place"].seen


def test_sysctls_are_shown_only_when_rights_are_missing(machine: Machine) -> None:
    """The two settings are a remark that keeps people from changing them in vain."""
    machine.status(effective=0)

    finding = machine.findings()["sysctl"]

    assert (finding.ok, finding.seen) == (None, "unprivileged_bpf_disabled 2, perf_event_paranoid 3")


# ---- the rest


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("[none] integrity confidentiality", True),
        ("none [integrity] confidentiality", True),
        ("none integrity [confidentiality]", False),
        ("", True),
    ],
)
def test_only_the_strictest_lockdown_blocks(machine: Machine, text: str, ok: bool) -> None:
    """Confidentiality forbids reading kernel memory from BPF; integrity does not."""
    machine.write("sys/kernel/security/lockdown", text)

    assert machine.findings()["lockdown"].ok is ok


def test_a_nested_pid_namespace_is_named(machine: Machine) -> None:
    """In a container the pids are those one sees inside, which is worth a word and no failure."""
    machine.link("proc/self/ns/pid", "pid:[4026532600]")

    finding = machine.findings()["pid namespace"]

    assert finding.ok is True
    assert "nested (pid:[4026532600])" in finding.seen


@pytest.mark.parametrize("clock", ["boottime", "7"])
def test_a_shifted_boot_clock_is_a_remark(machine: Machine, clock: str) -> None:
    """A time namespace shifts the clock by which a cell's window is cut."""
    machine.write("proc/self/timens_offsets", f"monotonic 0 0\n{clock} 864000 0\n")

    finding = machine.findings()["time namespace"]

    assert finding.ok is None
    assert "864000 s" in finding.seen


def test_a_seccomp_filter_is_a_remark(machine: Machine) -> None:
    """A filter may or may not refuse bpf(2): it is named, not blamed."""
    machine.status(seccomp=2)

    assert machine.findings()["seccomp"].ok is None


@pytest.mark.parametrize(
    ("release", "soft", "hard", "effective", "ok"),
    [
        ("5.10.0", "65536", "65536", BOTH, False),
        ("5.10.0", "65536", "65536", BOTH | 1 << 24, None),  # CAP_SYS_RESOURCE
        ("5.10.0", "65536", "unlimited", BOTH, None),
        ("5.10.0", "unlimited", "unlimited", BOTH, True),
        ("5.10.0", "1073741824", "1073741824", BOTH, True),
        ("5.11.0", "65536", "65536", BOTH, True),
    ],
)
def test_locked_memory_matters_on_old_kernels_only(
    machine: Machine, release: str, soft: str, hard: str, effective: int, ok: bool | None
) -> None:
    """Since Linux 5.11 BPF maps no longer count against the limit; before, it fails who may not raise it."""
    machine.write("proc/sys/kernel/osrelease", release)
    machine.limit_memory(soft, hard)
    machine.status(effective=effective)

    assert machine.findings().get("locked memory", Finding("", True, "")).ok is ok


def test_locked_memory_is_roots_where_sudo_starts_the_collector(machine: Machine) -> None:
    """A collector started with sudo may raise the limit, whatever this process may."""
    machine.write("proc/sys/kernel/osrelease", "5.10.0")
    machine.limit_memory("65536", "65536")
    machine.status(effective=0, uid=1000)
    machine.sudo = True

    assert machine.findings()["locked memory"].ok is None
