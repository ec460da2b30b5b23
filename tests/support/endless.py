"""A process of user nobody with a command line of the given size in bytes. Any user can start such a process."""

import ctypes
import mmap
import os
import struct
import sys

from support.strangers import NOBODY

PR_SET_MM, PR_SET_MM_MAP, MAP_NORESERVE = 35, 14, 0x4000

os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
size = int(sys.argv[1])
area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
begin = ctypes.addressof(ctypes.c_char.from_buffer(area))
with open("/proc/self/stat") as stat:
    fields = stat.read().rpartition(")")[2].split()
code, data, brk, stack, env = ([int(fields[i - 3]) for i in at] for at in ((26, 27), (45, 46), (47,), (28,), (50, 51)))
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
places = struct.pack("12QIi", *code, *data, *brk, libc.sbrk(0), *stack, begin, begin + size, *env, 0, 0, -1)
print(libc.prctl(PR_SET_MM, PR_SET_MM_MAP, places, len(places), 0), flush=True)
sys.stdin.read()
