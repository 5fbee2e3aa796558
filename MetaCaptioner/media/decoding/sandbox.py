"""Shutting a process in before it reads what nobody vouches for: no file, no network, no other process.

It keeps the descriptors that it has open, and nothing new can be had: two locks of the kernel, each by itself, since a
cluster's kernel may have one of them only. Landlock refuses by what is to be reached, seccomp by the call itself.

Sources: landlock(7), landlock_create_ruleset(2), landlock_restrict_self(2); seccomp(2), prctl(2);
linux/filter.h, linux/seccomp.h and linux/audit.h for the filter's instructions; syscalls(2) and the kernel's tables
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h for the numbers.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP, _SECCOMP_SET_MODE_FILTER = (317, 277), 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4

_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION = 1
_FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 5: 16}  # how many of the bits, from the lowest, a version knows
_NETWORK_SINCE, _NETWORK_RIGHTS = 4, 0b11  # TCP: bind, connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets, signals to processes outside

# By name: the numbers on x86_64 and aarch64, None where there is no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # files
    **{"open": (2, None), "creat": (85, None), "openat": (257, 56), "openat2": (437, 437)},
    **{"open_by_handle_at": (304, 265), "truncate": (76, 45)},
    **{"rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276)},
    **{"mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35)},
    **{"link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36)},
    **{"mknod": (133, None), "mknodat": (259, 33), "chdir": (80, 49), "chroot": (161, 51)},
    **{"chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"chown": (92, None), "lchown": (94, None), "fchownat": (260, 54)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14), "utimensat": (280, 88)},
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "move_mount": (429, 429)},
    **{"open_tree": (428, 428), "fsopen": (430, 430), "fspick": (433, 433), "mount_setattr": (442, 442)},
    # network, and other ways to speak to anyone
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    **{"accept": (43, 202), "accept4": (288, 242), "io_uring_setup": (425, 425)},
    **{"shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180)},
    # processes
    **{"execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None)},
    **{"kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)},
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424)},
    **{"unshare": (272, 97), "setns": (308, 268)},
    # the kernel itself
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    **{"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)},
}
_CLONE, _TGKILL = (56, 220), (234, 131)
_CLONE3 = 435  # its flags lie in memory, where a filter cannot look: without it, threads are made by clone
_CLONE_THREAD = 0x00010000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_X32_NUMBERS_FROM = 0x40000000  # a second set of numbers that x86_64 kernels may know

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # of struct seccomp_data
_LOAD, _RETURN = 0x20, 0x06  # BPF_LD | BPF_W | BPF_ABS; BPF_RET | BPF_K
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP | BPF_K and JEQ, JGE, JSET
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def shut_in() -> tuple[str, ...]:
    """From here on this process and its threads open no file and no socket, start nothing and signal no one else.

    What is open stays open. Returns which locks the kernel does not offer; on other systems than Linux, all.
    """
    if sys.platform != "linux":
        return ("Landlock", "seccomp")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        return ("Landlock", "seccomp")
    offered = {"Landlock": _landlock(libc), "seccomp": _seccomp(libc)}
    return tuple(name for name, is_there in offered.items() if not is_there)


def _landlock(libc: ctypes.CDLL) -> bool:
    """Allow nothing of all that the kernel's version of Landlock can refuse."""
    create = ctypes.c_long(_LANDLOCK_CREATE_RULESET)
    version = libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION))
    if version < 1:
        return False
    known = max(rights for since, rights in _FILE_RIGHTS_BY_VERSION.items() if since <= version)
    rights = [(1 << known) - 1]
    rights += [_NETWORK_RIGHTS] if version >= _NETWORK_SINCE else []
    rights += [_SCOPES] if version >= _SCOPES_SINCE else []
    ruleset = struct.pack(f"={len(rights)}Q", *rights)
    descriptor = libc.syscall(create, ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))
    if descriptor < 0:
        return False
    try:
        restrict = ctypes.c_long(_LANDLOCK_RESTRICT_SELF)
        return bool(libc.syscall(restrict, ctypes.c_int(descriptor), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(descriptor)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _seccomp(libc: ctypes.CDLL) -> bool:
    if platform.machine() not in _MACHINES:
        return False
    column, architecture = _MACHINES[platform.machine()]
    code = _filter(column, architecture, os.getpid())
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(held, ctypes.c_void_p).value)
    # Kernels before 5.16 would else take speculation from a process with a filter, and with it a share of its speed.
    how = map(ctypes.c_uint, (_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW))
    return bool(libc.syscall(ctypes.c_long(_SECCOMP[column]), *how, ctypes.byref(program)) == 0)


def _filter(column: int, architecture: int, process: int) -> bytes:
    """The filter: what is refused answers EACCES, as a file that may not be read; all else is allowed."""

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    refuse = step(_RETURN, _FAIL | errno.EACCES)
    steps = [step(_LOAD, _ARCHITECTURE), step(_IF_EQUAL, architecture, 1), step(_RETURN, _KILL), step(_LOAD, _NUMBER)]
    if platform.machine() == "x86_64":
        steps += [step(_IF_AT_LEAST, _X32_NUMBERS_FROM, 0, 1), refuse]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += [step(_IF_EQUAL, number, 0, 1), refuse]
    steps += [step(_IF_EQUAL, _CLONE3, 0, 1), step(_RETURN, _FAIL | errno.ENOSYS)]
    # A new thread is allowed, a new process is not; nor is a signal to another one.
    steps += [step(_IF_EQUAL, _CLONE[column], 0, 4), step(_LOAD, _FIRST_ARGUMENT)]
    steps += [step(_IF_ANY_BIT, _CLONE_THREAD, 1, 0), refuse, step(_RETURN, _ALLOW)]
    steps += [step(_IF_EQUAL, _TGKILL[column], 0, 3), step(_LOAD, _FIRST_ARGUMENT), step(_IF_EQUAL, process, 1, 0)]
    return b"".join([*steps, refuse, step(_RETURN, _ALLOW)])
