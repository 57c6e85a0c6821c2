"""Hot path. Closing a port without losing anyone who has reached it.

A connection that the kernel has taken but nobody has accepted is reset when the port closes, and a proxy must not repeat
a request that it has sent on it. So first the kernel is told to take no further connection, then those that it has taken
are accepted, then the port closes. Whoever knocked meanwhile got no answer, knocks again after a second and is refused.
"""

import ctypes
import logging
import socket
import struct
import sys
from collections.abc import Iterable

logger = logging.getLogger(__name__)

# linux/filter.h and asm-generic/socket.h: a classic BPF program on a socket; no privilege is needed for it.
SO_ATTACH_FILTER = 26
# What is filtered begins with the TCP header; its byte 13 has the flags, 2 is SYN. A SYN is dropped, all else is kept.
_LOAD_FLAGS = (0x30, 0, 0, 13)
_IS_SYN = (0x45, 0, 1, 2)
_DROP = (0x06, 0, 0, 0)
_KEEP = (0x06, 0, 0, 0xFFFFFFFF)
PROGRAM = b"".join(struct.pack("HBBI", *step) for step in (_LOAD_FLAGS, _IS_SYN, _DROP, _KEEP))


def ignore_newcomers(listeners: Iterable[socket.socket]) -> None:
    """From now on these ports, in whatever process, take no new connection. Where that cannot be done, they still do."""
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(PROGRAM, len(PROGRAM))
    option = struct.pack("HL", len(PROGRAM) // 8, ctypes.addressof(program))
    for listener in listeners:
        try:
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)
        except OSError as e:
            logger.debug("newcomers_not_ignored", extra={"reason": str(e)})
