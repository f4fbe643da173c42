import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ior_nb import doctor
from ior_nb.doctor import Finding, examine, report
from ior_nb.engine.collector.distribution import find_bcc

FULL = "000001ffffffffff"
BPF_AND_PERFMON = f"{1 << 39 | 1 << 38:016x}"
DIST_PACKAGES = "usr/lib/python3/dist-packages"


class Machine:
    """A file tree that looks like a machine on which tracing works."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/sys/kernel/ostype", "Linux\n")
        self.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
        self.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
        self.write("proc/sys/kernel/perf_event_paranoid", "3\n")
        self.write("proc/self/timens_offsets", "monotonic           0         0\nboottime            0         0\n")
        self.write("proc/1/cgroup", "0::/init.scope\n")
        self.write("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
        self.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.write(f"{DIST_PACKAGES}/bcc/__init__.py")
        self.write(f"{DIST_PACKAGES}/bcc/libbcc.py")
        self.write(f"{DIST_PACKAGES}/bcc/version.py", "__version__ = '0.26.0'\n")
        self.write("usr/lib/x86_64-linux-gnu/libbcc.so.0")
        self.write("sys/kernel/btf/vmlinux", b"\x9f\xeb\x01\x00")
        self.link("proc/self/ns/pid", "pid:[4026531836]")
        self.link("proc/self/ns/user", "user:[4026531837]")
        self.status()

    def write(self, name: str, content: str | bytes = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def status(self, *, effective: str = FULL, bounding: str = FULL, seccomp: int = 0, no_new_privs: int = 0) -> None:
        self.write(
            "proc/self/status",
            f"Name:\tpython\nCapEff:\t{effective}\nCapBnd:\t{bounding}\n"
            f"NoNewPrivs:\t{no_new_privs}\nSeccomp:\t{seccomp}\n",
        )

    def findings(self) -> dict[str, Finding]:
        return {finding.name: finding for finding in examine(self.root)}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine where everything is right, and where sudo asks for a password."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "_sudo_works", lambda: False)
    return Machine(tmp_path)


def test_a_good_machine_has_no_failure_and_no_remark(machine: Machine) -> None:
    """Where everything is right, every finding is good and asks for nothing."""
    findings = examine(machine.root)

    assert [finding for finding in findings if finding.ok is not True or finding.todo] == []
    assert [finding.name for finding in findings] == [
        "system",
        "kernel",
        "BTF",
        "bcc",
        "rights",
        "lockdown",
        "pid namespace",
    ]


def test_an_empty_tree_is_examined_without_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file is a finding, never an exception; each failure says what to do in one line."""
    monkeypatch.setattr(doctor, "_sudo_works", lambda: False)

    findings = examine(tmp_path)

    assert {"BTF", "bcc"} <= {finding.name for finding in findings if finding.ok is False}
    assert all(finding.todo and "\n" not in finding.todo for finding in findings if finding.ok is False)


def test_this_machine_is_examined_without_an_exception() -> None:
    """The real tree, whatever machine this is, gives findings with unlike names."""
    names = [finding.name for finding in examine()]

    assert len(names) == len(set(names))
    assert names[:5] == ["system", "kernel", "BTF", "bcc", "rights"]


def test_another_system_fails(machine: Machine) -> None:
    """Only Linux can be traced; elsewhere replay is offered."""
    machine.write("proc/sys/kernel/ostype", "FreeBSD\n")

    finding = machine.findings()["system"]

    assert finding.ok is False
    assert "replay" in finding.todo


def test_another_architecture_fails(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The syscall table is that of x86-64."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    assert machine.findings()["system"].ok is False


@pytest.mark.parametrize(
    ("release", "ok"),
    [
        ("5.7.19", False),
        ("5.8.0", None),
        ("5.14.0-427.el9.x86_64", None),
        ("5.15.0-91-generic", True),
        ("6.1.0", True),
        ("10.0", True),
        ("strange", None),
    ],
)
def test_the_kernel_release_decides(machine: Machine, release: str, ok: bool | None) -> None:
    """Below 5.8 tracing fails, below 5.15 there is a remark; releases are compared as numbers."""
    machine.write("proc/sys/kernel/osrelease", release)

    finding = machine.findings()["kernel"]

    assert finding.ok is ok
    assert bool(finding.todo) == (ok is not True)


def test_a_kernel_without_btf_fails(machine: Machine) -> None:
    """Offsets of kernel structs come from BTF: without it nothing can be read."""
    machine.remove("sys/kernel/btf/vmlinux")

    finding = machine.findings()["BTF"]

    assert finding.ok is False
    assert "CONFIG_DEBUG_INFO_BTF" in finding.todo


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
    """The folder to import from is returned, on Debian, Arch and Fedora."""
    (tmp_path / folder / "bcc").mkdir(parents=True)
    (tmp_path / folder / "bcc/__init__.py").touch()
    (tmp_path / folder / "bcc/libbcc.py").touch()

    assert find_bcc(tmp_path) == tmp_path / folder


def test_a_package_that_only_shares_the_name_is_not_bcc(machine: Machine) -> None:
    """A bcc without libbcc.py is the unrelated project of the package index."""
    machine.remove(f"{DIST_PACKAGES}/bcc/libbcc.py")

    assert find_bcc(machine.root) is None
    assert machine.findings()["bcc"].ok is False


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "apt-get install python3-bpfcc"),
        ("ID=linuxmint\nID_LIKE='x'\n", "your distribution's"),
        ('ID=pop\nID_LIKE="ubuntu debian"\n', "apt-get install python3-bpfcc"),
        ("ID=fedora\n", "dnf install bcc-tools python3-bcc"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install bcc-tools python3-bcc"),
        ("ID=arch\n", "pacman -S python-bcc"),
        ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', "zypper install python3-bcc"),
        ("", "your distribution's"),
    ],
)
def test_a_missing_bcc_names_the_command_of_the_distribution(machine: Machine, release: str, command: str) -> None:
    """What to install is said in the words of this distribution, with the warning about pip."""
    machine.write("etc/os-release", release)
    machine.remove(f"{DIST_PACKAGES}/bcc/__init__.py")

    finding = machine.findings()["bcc"]

    assert finding.ok is False
    assert command in finding.todo
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


@pytest.mark.parametrize(
    ("effective", "seen"),
    [
        (BPF_AND_PERFMON, "CAP_BPF and CAP_PERFMON"),
        (f"{1 << 21:016x}", "CAP_SYS_ADMIN"),
        (FULL, "CAP_SYS_ADMIN"),
    ],
)
def test_two_capabilities_are_enough(machine: Machine, effective: str, seen: str) -> None:
    """CAP_BPF with CAP_PERFMON, or the older CAP_SYS_ADMIN, let a program be loaded."""
    machine.status(effective=effective)

    assert machine.findings()["rights"] == Finding("rights", True, seen)


@pytest.mark.parametrize(
    ("effective", "absent"),
    [
        ("0" * 16, "CAP_BPF and CAP_PERFMON"),
        (f"{1 << 39:016x}", "CAP_PERFMON"),
        (f"{1 << 38:016x}", "CAP_BPF"),
    ],
)
def test_a_missing_capability_is_named_with_the_line_that_gives_it(
    machine: Machine, effective: str, absent: str
) -> None:
    """Without rights the very command that starts Jupyter with them is given."""
    machine.status(effective=effective)

    finding = machine.findings()["rights"]

    assert finding.ok is False
    assert finding.seen == f"no {absent}, and no sudo without a password"
    assert "--ambient-caps=+bpf,+perfmon" in finding.todo


def test_sudo_without_a_password_is_good_enough(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sudo asks nothing the collector can be started through it."""
    machine.status(effective="0" * 16)
    monkeypatch.setattr(doctor, "_sudo_works", lambda: True)

    findings = machine.findings()

    assert findings["rights"].ok is True
    assert "perf_event_paranoid" not in findings


def test_sudo_cannot_give_what_the_bounding_set_lacks(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container started without the capabilities sudo without a password is of no use."""
    machine.write(".dockerenv")
    machine.status(effective="0" * 16, bounding="00000000a80425fb")
    monkeypatch.setattr(doctor, "_sudo_works", lambda: True)

    finding = machine.findings()["rights"]

    assert finding.ok is False
    assert "--cap-add=BPF" in finding.todo


def test_no_new_privs_makes_sudo_useless(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no_new_privs set sudo is not even tried."""
    machine.status(effective="0" * 16, no_new_privs=1)
    monkeypatch.setattr(doctor, "_sudo_works", lambda: pytest.fail("sudo was tried"))

    assert "no_new_privs" in machine.findings()["rights"].todo


def test_capabilities_of_a_user_namespace_do_not_count(machine: Machine) -> None:
    """A rootless container shows every capability, and none of them reaches bpf(2)."""
    machine.link("proc/self/ns/user", "user:[4026532219]")

    finding = machine.findings()["rights"]

    assert finding.ok is False
    assert "rootless" in finding.todo


def test_sysctls_are_shown_only_when_rights_are_missing(machine: Machine) -> None:
    """The two settings are remarks that keep people from changing them in vain."""
    machine.status(effective="0" * 16)

    findings = machine.findings()

    assert (findings["unprivileged_bpf_disabled"].ok, findings["unprivileged_bpf_disabled"].seen) == (None, "2")
    assert (findings["perf_event_paranoid"].ok, findings["perf_event_paranoid"].seen) == (None, "3")


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

    finding = machine.findings()["seccomp"]

    assert finding.ok is None
    assert "seccomp=unconfined" in finding.todo


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        (".dockerenv", "", "docker (/.dockerenv)"),
        ("run/.containerenv", "", "podman (/run/.containerenv)"),
        ("run/systemd/container", "lxc\n", "lxc (/run/systemd/container)"),
        ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n", "kubepods (/proc/1/cgroup)"),
    ],
)
def test_a_container_is_recognized_and_gets_its_own_advice(
    machine: Machine, name: str, content: str, seen: str
) -> None:
    """In a container rights come from the line that started it."""
    machine.write(name, content)
    machine.status(effective="0" * 16)

    findings = machine.findings()

    assert findings["container"] == Finding("container", None, seen)
    assert "--cap-add=BPF --cap-add=PERFMON" in findings["rights"].todo


@pytest.mark.parametrize(
    ("release", "limit", "names"),
    [
        ("5.10.0", "8388608", ["locked memory"]),
        ("5.10.0", "unlimited", []),
        ("5.10.0", "1073741824", []),
        ("5.11.0", "8388608", []),
    ],
)
def test_locked_memory_matters_on_old_kernels_only(
    machine: Machine, release: str, limit: str, names: list[str]
) -> None:
    """Since Linux 5.11 BPF maps no longer count against the limit."""
    machine.write("proc/sys/kernel/osrelease", release)
    machine.write("proc/self/limits", f"Max locked memory         {limit}              unlimited            bytes\n")

    assert [name for name, finding in machine.findings().items() if finding.ok is False] == names


def test_the_report_shows_every_finding_and_counts_failures() -> None:
    """One line a finding, what to do below it, and a sentence at the end."""
    findings = [
        Finding("kernel", True, "6.1.0"),
        Finding("container", None, "docker"),
        Finding("bcc", False, "none", "install it"),
    ]

    assert report(findings) == (
        "ok    kernel     6.1.0\n"
        "note  container  docker\n"
        "FAIL  bcc        none\n"
        "                 -> install it\n"
        "\n"
        "Tracing will not work yet: 1 of 3 checks failed.\n"
    )


def test_the_report_of_a_good_machine_says_so(machine: Machine) -> None:
    """Without a failure the last line is the good news."""
    assert report(examine(machine.root)).endswith("\n\nEverything that tracing needs is here.\n")


def test_the_report_of_nothing_is_a_sentence() -> None:
    """No finding is not good news."""
    assert report([]) == "Nothing was examined.\n"


@pytest.mark.parametrize(("exit_status", "works"), [(0, True), (1, False)])
def test_sudo_is_asked_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_status: int, works: bool
) -> None:
    """`sudo -n true` decides, by its exit status."""
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\n[ "$*" = "-n true" ] || exit 3\nexit {exit_status}\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert doctor._sudo_works() is works


def test_no_sudo_is_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without sudo is no error."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert doctor._sudo_works() is False


def test_a_sudo_that_cannot_start_is_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken sudo is told from a working one without an exception."""
    sudo = tmp_path / "sudo"
    sudo.write_bytes(b"\x7fELF, but not really")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert doctor._sudo_works() is False


def test_doctor_imports_nothing_heavy() -> None:
    """The doctor must run where everything else is missing; of ours it needs only what is as light."""
    program = "import sys, ior_nb.doctor; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "pandas", "pyarrow", "plotly", "ipywidgets", "IPython", "bcc"} & set(modules)
    assert {m for m in modules if m.startswith("ior_nb.")} == {
        *("ior_nb.doctor", "ior_nb.engine", "ior_nb.engine.collector", "ior_nb.engine.collector.distribution"),
        "ior_nb.version",
    }
