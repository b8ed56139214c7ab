"""A seccomp allowlist for children, written as a raw BPF program through ctypes.

It allows what a computing Python process needs and nothing that reaches outside of it: no file can be opened or looked
at, no process or program started, no socket made but stream pairs, no other process signalled. Everything else fails
with EPERM. A foreign system call table (32-bit, x32) ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import Any

_LD_WORD, _JEQ, _JGE, _AND, _RET = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _ASK, _ERRNO, _KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16
_X32_BIT = 0x40000000

_CLONE_THREAD = 0x00010000
_CLONE_VFORK = 0x00004000
_FIONREAD, _FIONBIO = 0x541B, 0x5421
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
_ITIMER_REAL = 0
_MADVICE = (0, 1, 2, 3, 4, 8, 14, 15)  # not: merging pages with other processes, pushing shared pages out
_ENCODES_A_PROCESS = 0x80000000
"""Clock ids from here on (negative ones) are CPU clocks of any process, or descriptors of devices."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Architecture -> its number in `struct seccomp_data` (linux/audit.h)."""

_MEMORY_AND_FILES = (
    "read write readv writev pread64 close fstat lseek mmap mprotect munmap mremap brk dup dup2 dup3 "
    "pipe pipe2 eventfd2 getcwd"
)
_SIGNALS = (
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause "
    "restart_syscall getitimer alarm"
)
_WAITING = (
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait nanosleep futex sched_yield"
)
_SOCKETS = "sendto recvfrom sendmsg recvmsg shutdown getsockname getpeername getsockopt"
_TIME_AND_SELF = (
    "gettimeofday time times getrusage getrlimit uname getrandom getcpu getpid getppid gettid getuid "
    "geteuid getgid getegid getgroups getresuid getresgid set_robust_list set_tid_address rseq exit exit_group"
)
PLAIN = " ".join((_MEMORY_AND_FILES, _SIGNALS, _WAITING, _SOCKETS, _TIME_AND_SELF)).split()
"""Calls allowed with any arguments (where the architecture has them)."""

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "read": 0, "write": 1, "readv": 19, "writev": 20, "pread64": 17, "close": 3, "fstat": 5, "lseek": 8,
        "mmap": 9, "mprotect": 10, "munmap": 11, "mremap": 25, "brk": 12, "madvise": 28, "dup": 32, "dup2": 33,
        "dup3": 292, "pipe": 22, "pipe2": 293, "eventfd2": 290, "getcwd": 79, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigsuspend": 130,
        "sigaltstack": 131, "pause": 34, "restart_syscall": 219, "getitimer": 36, "alarm": 37, "poll": 7,
        "ppoll": 271, "select": 23, "pselect6": 270, "epoll_create": 213, "epoll_create1": 291, "epoll_ctl": 233,
        "epoll_wait": 232, "epoll_pwait": 281, "nanosleep": 35, "clock_nanosleep": 230, "futex": 202,
        "sched_yield": 24, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "shutdown": 48,
        "getsockname": 51, "getpeername": 52, "getsockopt": 55, "clock_gettime": 228, "clock_getres": 229,
        "gettimeofday": 96, "time": 201, "times": 100, "getrusage": 98, "getrlimit": 97, "uname": 63,
        "getrandom": 318, "getcpu": 309, "sched_getaffinity": 204, "getpid": 39, "getppid": 110, "gettid": 186,
        "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108, "getgroups": 115, "getresuid": 118,
        "getresgid": 120, "set_robust_list": 273, "set_tid_address": 218, "rseq": 334, "exit": 60, "exit_group": 231,
        "ioctl": 16, "fcntl": 72, "socketpair": 53, "clone": 56, "clone3": 435, "kill": 62, "tgkill": 234,
        "prlimit64": 302, "setitimer": 38,
    },
    "aarch64": {
        "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "close": 57, "fstat": 80, "lseek": 62,
        "mmap": 222, "mprotect": 226, "munmap": 215, "mremap": 216, "brk": 214, "madvise": 233, "dup": 23,
        "dup3": 24, "pipe2": 59, "eventfd2": 19, "getcwd": 17, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "rt_sigpending": 136, "rt_sigtimedwait": 137, "rt_sigsuspend": 133, "sigaltstack": 132,
        "restart_syscall": 128, "getitimer": 102, "ppoll": 73, "pselect6": 72, "epoll_create1": 20, "epoll_ctl": 21,
        "epoll_pwait": 22, "nanosleep": 101, "clock_nanosleep": 115, "futex": 98, "sched_yield": 124, "sendto": 206,
        "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "shutdown": 210, "getsockname": 204, "getpeername": 205,
        "getsockopt": 209, "clock_gettime": 113, "clock_getres": 114, "gettimeofday": 169, "times": 153,
        "getrusage": 165, "getrlimit": 163, "uname": 160, "getrandom": 278, "getcpu": 168,
        "sched_getaffinity": 123, "getpid": 172, "getppid": 173, "gettid": 178, "getuid": 174, "geteuid": 175,
        "getgid": 176, "getegid": 177, "getgroups": 158, "getresuid": 148, "getresgid": 150, "set_robust_list": 99,
        "set_tid_address": 96, "rseq": 293, "exit": 93, "exit_group": 94, "ioctl": 29, "fcntl": 25,
        "socketpair": 199, "clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "prlimit64": 261,
        "setitimer": 103,
    },
}  # fmt: skip
"""Architecture -> name -> number of the system calls that the filter knows."""

Instruction = tuple[int, int, int, int]
"""(code, jump if true, jump if false, operand)"""


def _argument(index: int, high: bool = False) -> Instruction:
    return (_LD_WORD, 0, 0, _ARGS_OFFSET + 8 * index + 4 * high)


def _one_of(index: int, values: tuple[int, ...], mask: int | None = None) -> list[Instruction]:
    """Allow when the low word of an argument (after a mask) is one of the values."""
    block = [_argument(index)]
    if mask is not None:
        block.append((_AND, 0, 0, mask))
    for value in values:
        block += [(_JEQ, 0, 1, value), (_RET, 0, 0, _ALLOW)]
    return [*block, (_RET, 0, 0, _ERRNO | errno.EPERM)]


def _require(load: Instruction, value: int) -> list[Instruction]:
    """Refuse unless a word has this value; else go on."""
    return [load, (_JEQ, 1, 0, value), (_RET, 0, 0, _ERRNO | errno.EPERM)]


class Filter:
    """The BPF program for one architecture; `install` applies it to the calling process."""

    def __init__(self, architecture: str | None = None, threads: bool = True) -> None:
        """Assemble the program.

        Args:
            architecture: `x86_64` or `aarch64`; default: of this machine.
            threads: whether threads may be made.

        Raises:
            OSError: there is no table for the architecture.
        """
        name = _architecture(architecture)
        self._pid_places: list[int] = []
        self.instructions = self._assemble(name, threads)
        self._program = bytearray(b"".join(struct.pack("=HBBI", *i) for i in self.instructions))

    def _assemble(self, architecture: str, threads: bool) -> list[Instruction]:
        numbers = NUMBERS[architecture]
        program: list[Instruction] = [
            (_LD_WORD, 0, 0, _ARCH_OFFSET),
            (_JEQ, 1, 0, AUDIT_ARCH[architecture]),
            (_RET, 0, 0, _KILL),
            (_LD_WORD, 0, 0, _NR_OFFSET),
            (_JGE, 0, 1, _X32_BIT),
            (_RET, 0, 0, _KILL),
        ]
        for name in PLAIN:
            if name in numbers:
                program += [(_JEQ, 0, 1, numbers[name]), (_RET, 0, 0, _ALLOW)]
        own_pid = [_argument(0), (_JEQ, 0, 1, 0), (_RET, 0, 0, _ALLOW), (_RET, 0, 0, _ERRNO | errno.EPERM)]
        own_clock = [
            _argument(0),
            (_JGE, 0, 1, _ENCODES_A_PROCESS),
            (_RET, 0, 0, _ERRNO | errno.EPERM),
            (_RET, 0, 0, _ALLOW),
        ]
        rules: dict[str, list[Instruction]] = {
            "clock_gettime": own_clock,
            "clock_getres": own_clock,
            "clock_nanosleep": own_clock,
            "sched_getaffinity": _one_of(0, (0,)),
            "madvise": _one_of(2, _MADVICE),
            "ioctl": _one_of(1, (_FIONREAD, _FIONBIO)),
            "fcntl": _one_of(1, _FCNTL_COMMANDS),
            "setitimer": _one_of(0, (_ITIMER_REAL,)),
            "socketpair": [*_require(_argument(0), _AF_UNIX), *_one_of(1, (_SOCK_STREAM,), mask=_SOCK_TYPE_MASK)],
            "clone": _one_of(0, (_CLONE_THREAD,) * threads, mask=_CLONE_THREAD | _CLONE_VFORK),
            "clone3": [(_RET, 0, 0, _ERRNO | errno.ENOSYS)],  # its flags cannot be seen; libc then uses clone
            "prlimit64": [  # reading one's own limits: pid 0 and no new value
                *_require(_argument(0), 0),
                *_require(_argument(2), 0),
                *_require(_argument(2, high=True), 0),
                (_RET, 0, 0, _ALLOW),
            ],
            "kill": own_pid,
            "tgkill": own_pid,
        }
        for name, block in rules.items():
            program.append((_JEQ, 0, len(block), numbers[name]))
            if block is own_pid:
                self._pid_places.append(len(program) + 1)
            program += block
        return [*program, (_RET, 0, 0, _ERRNO | errno.EPERM)]

    def install(self, pid: int) -> None:
        """Confine the calling process, whose id is `pid`, for good.

        Raises:
            OSError: the kernel refused.
        """
        for place in self._pid_places:
            struct.pack_into("=I", self._program, 8 * place + 4, pid)
        install(bytes(self._program))


def thread_gate() -> bytes:
    """Return the program of a filter that asks before each new thread and allows all else.

    Raises:
        OSError: there is no table for this architecture.
    """
    name = _architecture()
    program = [
        (_LD_WORD, 0, 0, _ARCH_OFFSET),
        (_JEQ, 0, 6, AUDIT_ARCH[name]),
        (_LD_WORD, 0, 0, _NR_OFFSET),
        (_JEQ, 0, 4, NUMBERS[name]["clone"]),
        _argument(0),
        (_AND, 0, 0, _CLONE_THREAD),
        (_JEQ, 0, 1, _CLONE_THREAD),
        (_RET, 0, 0, _ASK),
        (_RET, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *i) for i in program)


def _architecture(name: str | None = None) -> str:
    name = name or {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"no system call table for {name}; x86_64 and aarch64 are supported")
    return name


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


_libc: Any = ctypes.CDLL(None, use_errno=True)


def install(program: bytes) -> None:
    """Install a BPF program (8 bytes per instruction) as a seccomp filter; needs no_new_privs.

    Raises:
        OSError: the kernel refused.
    """
    if _libc.prctl(22, 2, ctypes.byref(_structure(program)), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp filter refused: {errno.errorcode.get(code, code)}")


def install_listener(program: bytes) -> int:
    """Install a filter whose questions arrive on the descriptor that is returned (Linux 5.5).

    Raises:
        OSError: the kernel refused.
    """
    number = {"x86_64": 317, "aarch64": 277}[_architecture()]  # seccomp(SECCOMP_SET_MODE_FILTER, ..._NEW_LISTENER)
    listener = _libc.syscall(number, 1, 8, ctypes.byref(_structure(program)))
    if listener < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp listener refused: {errno.errorcode.get(code, code)}")
    return listener


def _structure(program: bytes) -> _Program:
    buffer = ctypes.create_string_buffer(program, len(program))
    made = _Program(len(program) // 8, ctypes.addressof(buffer))
    made.buffer = buffer  # keeps it alive
    return made
