"""(R) The process group of a training: torch's, bound to the interface by which Ray's nodes reach each other.

Left to itself gloo binds to what the host's own name resolves to. On Debian and its children that is 127.0.1.1, and the
processes of two nodes then look for each other on loopback. NCCL passes loopback over by itself and is left alone.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

import ray.util
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

GLOO = "GLOO_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915
"""linux/sockios.h: the first IPv4 address of an interface."""


@dataclass
class Group(TorchConfig):
    """torch's process group over the nodes' own addresses, unless the environment names an interface."""

    @property
    def backend_cls(self) -> Any:
        """What Ray Train starts on its workers."""
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Name the interface in every worker, then start the group."""
        worker_group.execute(name_interface)
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Tell gloo, in this process, the interface of this node's address in Ray; what a person has set stays."""
    if GLOO in os.environ:
        return
    found = interface_of(ray.util.get_node_ip_address())
    if found is not None:
        os.environ[GLOO] = found


def interface_of(address: str) -> str | None:
    """The interface whose first IPv4 address this is; None where there is none or the system does not tell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # no address, or not Linux
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
