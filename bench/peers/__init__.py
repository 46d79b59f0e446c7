"""Decides who takes part: every contender that the bench can start, in the order of its tables."""

from peers.base import Launch, Peer, Site
from peers.envoy import Envoy
from peers.fastgw import Fastgw
from peers.floor import Floor
from peers.haproxy import Haproxy
from peers.nginx import NginxLua, NginxLuaFields, NginxStatic

__all__ = ["ALL", "Launch", "Peer", "Site"]

ALL: tuple[Peer, ...] = (Fastgw(), NginxLua(), NginxLuaFields(), NginxStatic(), Haproxy(), Envoy(), Floor())
