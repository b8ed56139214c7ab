"""Isolation levels are found out by attack, missing layers are named, and weaker machines are simulated."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox import IsolationReport, Sandbox, SandboxConfig, bubblewrap, container, isolation
from w4s_gym.sandbox.inside import landlock, seccomp
from w4s_gym.sandbox.isolation import accept, declare_external, satisfies

# Runs `w4s-gym doctor` under a seccomp filter that makes system calls fail as they do on a weaker machine.
SIMULATION = """
import ctypes, json, struct, sys
from w4s_gym.sandbox.inside import seccomp
calls = json.loads(sys.argv[1])
program = [(0x20, 0, 0, 0)]
for number, error in calls:
    program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error)]
program.append((0x06, 0, 0, 0x7FFF0000))
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
seccomp.install(b"".join(struct.pack("=HBBI", *i) for i in program))
from w4s_gym.cli import main
main(["doctor", *sys.argv[2:]])
"""
NUMBERS = {"landlock": 444, "seccomp": 317, "mount": 165, "unshare": 272}  # x86_64
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are those of Linux")
x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the simulation knows the numbers of x86_64")


def doctor_without(*missing: tuple[str, int], options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Return exit code and output of `doctor` on a machine where these calls fail."""
    calls = json.dumps([(NUMBERS[name], error) for name, error in missing])
    command = [sys.executable, "-c", SIMULATION, calls, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "COLUMNS": "300"})
    return done.returncode, re.sub(r"\s+", " ", re.sub("[│┃]", " ", done.stdout)) + done.stderr


# bubblewrap needs `mount` whether or not it needs a user namespace; refused as a container's default profile does
NO_NAMESPACES = (("mount", errno.EPERM), ("unshare", errno.EPERM))


def test_doctor_on_this_machine() -> None:
    code, text = doctor_without()
    level = "L3" if bubblewrap.find() else "L2"
    assert code == 0 and f"Level {level}:" in text
    for layer in ("process", "user", "seccomp", "landlock", "namespaces"):
        assert layer in text
    assert ("apt install bubblewrap" in text) == (level == "L2")


@x86_64
def test_doctor_on_a_machine_without_landlock_and_namespaces() -> None:
    code, text = doctor_without(("landlock", errno.ENOSYS), *NO_NAMESPACES)
    assert code == 0 and "Level L1:" in text
    assert "Why not higher: L2 needs landlock: the kernel has no Landlock: use Linux 5.13 or newer" in text
    assert "bubblewrap may not make namespaces here" in text or "bubblewrap is not installed" in text
    assert doctor_without(("landlock", errno.ENOSYS), *NO_NAMESPACES, options=("--require", "L2"))[0] == 1


@x86_64
@pytest.mark.parametrize(
    "error, advice",
    [(errno.EOPNOTSUPP, "add `landlock` to the kernel's `lsm=`"), (errno.EPERM, "container's seccomp profile")],
)
def test_doctor_says_why_landlock_is_missing(error: int, advice: str) -> None:
    code, text = doctor_without(("landlock", error))
    assert code == 0 and "Level L1:" in text and advice in text


@x86_64
def test_doctor_where_only_namespaces_are_barred() -> None:
    code, text = doctor_without(*NO_NAMESPACES)
    assert code == 0 and "Level L2:" in text and "Why not higher: L3 needs namespaces" in text


def test_a_level_below_the_required_one_is_refused_with_the_fix() -> None:
    with pytest.raises(
        SandboxUnavailable, match=r"at least level L3, this machine gives L1\. L2 needs landlock.*doctor"
    ):
        Sandbox(SandboxConfig(require="L3", layers=("seccomp",))).report()


def test_allow_unsafe_warns_once_and_is_reported() -> None:
    config = SandboxConfig(layers=(), allow_unsafe=True)
    with Sandbox(config) as sandbox, pytest.warns(UserWarning, match="allow_unsafe") as caught:
        report = sandbox.report()
        sandbox.report()
    assert (report.level, report.unsafe, len(caught)) == ("L0", True, 1)
    with warnings.catch_warnings(), Sandbox() as sandbox:
        warnings.simplefilter("error")
        assert not sandbox.report().unsafe


def test_attacks_get_through_where_a_layer_is_off() -> None:
    """The probes can tell a missing layer: without any, they reach the file, the network and other processes."""
    with Sandbox(SandboxConfig(require="L0", layers=())) as sandbox:
        report = sandbox.report()
    assert report.level == "L0" and not any(
        layer.holds for layer in report.layers if layer.name in ("seccomp", "landlock")
    )
    with Sandbox(SandboxConfig(require="L0", layers=("landlock",))) as sandbox:
        sandbox.report()
        zygote = sandbox._zygotes[-1]
        results: dict[str, str] = {}

        async def attack() -> None:
            zygote.attach(asyncio.get_running_loop())
            with ExitStack() as stack:
                results.update(await isolation._attack(zygote, isolation._put_up_targets(stack), ()))

        isolation.run_in_thread(lambda: asyncio.run(attack()))
    through = {name for name, stopped in results.items() if not stopped}
    assert {
        "read a file",
        "look at a file",
        "write a file",
        "start a process",
        "connect over TCP",
        "make a socket",
    } <= through
    assert not {"exceed the memory limit", "find the host's environment", "find a descriptor"} & through


def test_the_level_of_a_container_must_be_declared_and_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    report = IsolationReport("L2", "", ())
    monkeypatch.setattr(container, "find", lambda: "gVisor")
    assert declare_external(report).level == "LX"
    assert declare_external(IsolationReport("L0", "", ())).level == "L0"
    monkeypatch.setattr(container, "find", lambda: None)
    assert declare_external(report).level == "L2"
    with pytest.raises(SandboxUnavailable, match="LX"):
        accept(report, SandboxConfig(require="LX", external=True))


def test_levels_are_ordered() -> None:
    assert satisfies("L2", "L1") and satisfies("L1", "L1") and satisfies("LX", "L3") and not satisfies("L0", "L1")


@pytest.mark.parametrize(
    "said", ["bwrap: setting up uid map: Permission denied", "bwrap: No permissions to create new namespace"]
)
def test_what_bubblewrap_says_becomes_advice(said: str) -> None:
    assert "AppArmor profile" in bubblewrap.explain(said) and said in bubblewrap.explain(said)


HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",  # aarch64 uses the generic table
}


@pytest.mark.parametrize("architecture", list(HEADERS))
def test_system_call_numbers_are_those_of_the_kernel_headers(architecture: str) -> None:
    header = Path(HEADERS[architecture])
    if not header.exists():
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    numbers = seccomp.NUMBERS[architecture]
    assert {name: int(found[name]) for name in numbers} == numbers
    absent = [name for name in seccomp.PLAIN if name not in numbers]
    assert not [name for name in absent if name in found], "an allowed call is missing from the table"


def run_filter(program: list[seccomp.Instruction], data: bytes) -> int:
    """Interpret a filter on a `struct seccomp_data`; return its verdict."""
    accumulator = at = 0
    while True:
        code, jump_true, jump_false, operand = program[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, operand)[0]
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x15:
            at += jump_true if accumulator == operand else jump_false
        elif code == 0x35:
            at += jump_true if accumulator >= operand else jump_false
        else:
            assert code == 0x06
            return operand


ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
VERDICTS = [
    ("read", (), ALLOW), ("futex", (), ALLOW), ("clone3", (), ENOSYS),
    ("socketpair", (1, 1), ALLOW), ("socketpair", (1, 0o2000001), ALLOW), ("socketpair", (1, 2), EPERM),
    ("socketpair", (2, 1), EPERM), ("clone", (0x3D0F00,), ALLOW), ("clone", (17,), EPERM), ("clone", (0x4111,), EPERM),
    ("kill", (0,), EPERM), ("kill", (1,), EPERM), ("kill", (2**32 - 1,), EPERM), ("setitimer", (0,), ALLOW),
    ("setitimer", (2,), EPERM), ("prlimit64", (0, 7, 0), ALLOW), ("prlimit64", (0, 7, 2**32), EPERM),
    ("prlimit64", (0, 7, 64), EPERM), ("prlimit64", (5, 7, 0), EPERM), ("ioctl", (0, 0x5421), ALLOW),
    ("ioctl", (0, 0x5412), EPERM), ("fcntl", (0, 4), ALLOW), ("fcntl", (0, 8), EPERM),
]  # fmt: skip


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_verdicts_of_the_filter(architecture: str) -> None:
    """Both tables are interpreted here: the one of the other architecture cannot be installed on this machine."""
    filter_ = seccomp.Filter(architecture)
    numbers = seccomp.NUMBERS[architecture]

    def verdict(number: int, arguments: tuple[int, ...], arch: int = seccomp.AUDIT_ARCH[architecture]) -> int:
        padded = (*arguments, *(0,) * (6 - len(arguments)))
        return run_filter(filter_.instructions, struct.pack("=IIQ6Q", number, arch, 0, *padded))

    for name, arguments, expected in VERDICTS:
        if name == "kill" and arguments == (0,):
            continue  # 0 stands for the child's own id until the filter is installed
        assert verdict(numbers[name], arguments) == expected, (name, arguments)
    assert verdict(numbers["read"], (), arch=0x40000003) == KILL
    assert verdict(numbers["read"] | 0x40000000, ()) == KILL
    known = set(numbers.values())
    assert {verdict(n, ()) for n in range(600) if n not in known} == {EPERM}


def test_there_is_no_table_for_other_architectures() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.Filter("riscv64")


def test_landlock_errors_become_advice() -> None:
    assert "5.13" in landlock.explain(OSError(errno.ENOSYS, "")) and "lsm=" in landlock.explain(
        OSError(errno.EOPNOTSUPP, "")
    )


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_without_bubblewrap_the_level_is_one_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda: None)
    with Sandbox() as sandbox:
        report = sandbox.report()
    assert report.level == "L2" and "apt install bubblewrap" in report.why_not_higher
