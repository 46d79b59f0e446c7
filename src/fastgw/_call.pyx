# cython: language_level=3, boundscheck=False, wraparound=False
# cython: embedsignature=True, embedsignature.format=clinic
"""A call as it is carried from admission to its end: who makes it, and what it holds."""
import socket
from ipaddress import ip_network

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_u64
from fastgw.kernels.blake2b cimport blake2b_digest
from fastgw.kernels.claim cimport claim_room
from fastgw.kernels.forwarded cimport (
    HOST_MAX, NETWORKS_MAX, forwarded_client, forwarded_host, forwarded_scheme, network_has, put_chain, put_host,
)
from fastgw.kernels.head cimport field_t, head_t
from fastgw.kernels.journal cimport HOLD_ACCOUNT
from fastgw.kernels.keys cimport keys_find
from fastgw.kernels.layout cimport MODELS_MAX, RECORD_ESTIMATED
from fastgw.kernels.octets cimport same_secret
from fastgw.kernels.render cimport put_bytes, put_hex64

cdef bytes MAPPED = b"\0" * 10 + b"\xff\xff"        # what makes an IPv4 address one of IPv6 (RFC 4291 §2.5.5.2)


cdef class Proxies:
    """Whose word on a client's address counts: peers of these networks ("10.0.0.0/8"), and for "unix" those on Unix
    sockets, which have no address."""

    def __init__(self, networks=()):
        if len(networks) > NETWORKS_MAX:
            raise ValueError(f"at most {NETWORKS_MAX} networks")
        for text in networks:
            if text == "unix":
                self.local = True
                continue
            network = ip_network(text)
            mapped = b"" if network.version == 6 else MAPPED
            packed = mapped + network.network_address.packed
            memcpy(self.networks[self.count].prefix, <const char*>packed, 16)
            self.networks[self.count].bits = network.prefixlen + 8 * len(mapped)
            self.count += 1

    cdef bint trusts(self, const uint8_t* raw, bint addressed) noexcept:
        cdef uint32_t n
        if not addressed:
            return self.local
        for n in range(self.count):
            if network_has(&self.networks[n], raw):
                return True
        return False


cdef class Peer:
    """The client's end of a connection: its address, kept as the bytes that the journal and the upstream will see, and
    the key that it last presented.

    `address` is "" where there is none, on a Unix socket. A peer that is one of `proxies` is `trusted`: whose address
    counts is then said by each of its requests, which has come to it by `scheme` unless it says otherwise.

    A connection carries the same key nearly always, and what the key was found to be holds for good: an index never
    changes its meaning, and whether the key may be used is read from its record at every call. So the hash is computed
    once per connection. The key itself stays in this process, and goes with the connection.
    """

    def __init__(self, str address, int port, Proxies proxies=None, str scheme="http"):
        address = address.partition("%")[0]
        if ":" in address:
            packed = socket.inet_pton(socket.AF_INET6, address)
            if packed.startswith(MAPPED):
                address = socket.inet_ntop(socket.AF_INET, packed[12:])
        else:
            packed = MAPPED + socket.inet_pton(socket.AF_INET, address) if address else bytes(16)
        memcpy(self.raw, <const char*>packed, 16)
        self.address = address
        self.port = port
        self.text = address.encode()
        self.scheme = scheme.encode()
        self.rest = b"Via: 1.1 fastgw\r\n"
        chain = f"X-Forwarded-For: {address}\r\n" if address else ""
        self.lines = f"{chain}X-Forwarded-Proto: {scheme}\r\n".encode() + self.rest
        self.proxies = proxies
        self.trusted = proxies is not None and proxies.trusts(self.raw, address != "")

    def __dealloc__(self):
        memset(self.key, 0, sizeof(self.key))

    cdef void find_client(self, const head_t* h, const char* at, uint8_t* address, uint16_t* port) noexcept:
        """Put the address of the client that this proxy tells of in place of its own; no port is known of it."""
        forwarded_client(h, at, self.proxies.networks, self.proxies.count, address, port)

    cdef char* put_lines(self, const head_t* h, const char* at, char* to) noexcept:
        """What the upstream is told by way of this proxy: the chain with the proxy at its end, and by what scheme and
        for what host the client has asked."""
        cdef const field_t* scheme = forwarded_scheme(h, at)
        cdef const field_t* host = forwarded_host(h, at)
        to = put_chain(h, at, PyBytes_AS_STRING(self.text), PyBytes_GET_SIZE(self.text), to)
        to = put_bytes(to, b"X-Forwarded-Proto: ", 19)
        if scheme is NULL:
            to = put_bytes(to, PyBytes_AS_STRING(self.scheme), PyBytes_GET_SIZE(self.scheme))
        else:
            to = put_bytes(to, at + scheme.value, scheme.end - scheme.value)
        to = put_bytes(to, b"\r\n", 2)
        to = put_bytes(to, PyBytes_AS_STRING(self.rest), PyBytes_GET_SIZE(self.rest))
        if host is NULL and h.host:
            host = &h.field[h.host - 1]
        return put_host(host, at, to) if host is not NULL and host.end - host.value < HOST_MAX else to

    cdef bint knows(self, const char* key, size_t length, uint64_t changes) noexcept:
        """Whether `key_index` is what this key is. Takes a time that does not depend on the bytes of either."""
        return (length == self.key_length and (self.key_index >= 0 or changes == self.key_changes)
                and same_secret(key, self.key, length))

    cdef void remember(self, const char* key, size_t length, int64_t index, uint64_t changes) noexcept:
        self.key_length = 0
        if length <= sizeof(self.key):
            memcpy(self.key, key, length)
            self.key_length = length
        self.key_index = index
        self.key_changes = changes

    cpdef identify(self, tuple identities):
        """It has shown a certificate, which may be a key by each of these texts; the first one that is, counts."""
        self.identities = identities or None
        self.identity_index = -1

    cdef int64_t identity(self, const segment_t* s, const uint64_t* start) except? -1:
        """The index of the key that the certificate is, -1 for none; `start` is the digests' state behind the secret.

        Unlike what a key was found to be, this is looked up anew when keys have changed: a text before it may be one.
        """
        cdef uint64_t digest[4]
        cdef uint64_t changes = load_u64(&s.header.key_changes)
        cdef bytes text
        if self.identity_index < 0 or self.identity_changes != changes:
            self.identity_changes = changes
            for text in self.identities:
                blake2b_digest(start, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), digest)
                self.identity_index = keys_find(s, digest)
                if self.identity_index >= 0:
                    break
        return self.identity_index


cdef inline uint32_t _tokens(long long count) noexcept nogil:
    return 0 if count < 0 else <uint32_t>count if count < <long long>0xffffffff else <uint32_t>0xffffffff


@cython.freelist(64)
@cython.no_gc
cdef class Ticket:
    """An admitted call: what it holds, and its journal record in the making. Settled exactly once, by `Gate.settle`.

    It keeps the table of routes that it was admitted by, so that a reload changes neither its price nor its dialect. It
    is no part of any cycle: the collector need not know of it.
    """

    cpdef bytes request_id(self):
        """Thirty-two hexadecimal digits."""
        cdef char text[32]
        put_hex64(put_hex64(text, self.record.request[0]), self.record.request[1])
        return text[:32]

    cpdef void meter(self, long long tokens_in, long long tokens_out, int model, bint estimated,
                     long long tokens_cached=0, long long tokens_reasoning=0) noexcept:
        """Note the tokens of the call, for its record and its limits; what was noted before is forgotten.

        `model` is its number (`Segment.model_number`), 0 for none; `tokens_cached` are of those in, `tokens_reasoning`
        of those out. `estimated`: the gateway has counted them, because the provider has not said.
        """
        cdef record_t* r = &self.record
        r.tokens_in = _tokens(tokens_in)
        r.tokens_out = _tokens(tokens_out)
        r.tokens_cached = _tokens(tokens_cached)
        r.tokens_reasoning = _tokens(tokens_reasoning)
        r.model = <uint16_t>model if 0 < model <= MODELS_MAX else 0
        r.flags = r.flags | RECORD_ESTIMATED if estimated else r.flags & ~<uint32_t>RECORD_ESTIMATED

    cpdef long long scope(self) noexcept:
        """Which models its key may ask for, as it is now: the number of a set (`Segment.scope_of`); 0: all."""
        return load_u64(&self.table.s.key_tokens[self.record.key - 1].scope) if self.record.key else 0

    cpdef long long elapsed_us(self) noexcept:
        """Microseconds since its first byte came."""
        return (clock_ns(CLOCK_MONOTONIC) - self.started_ns) // 1000

    cpdef long long balance(self) noexcept:
        """`balance_nanos`."""
        return claim_room(&self.table.s.accounts[self.record.account - 1]) if self.record.account else 0

    cpdef long long holding(self) noexcept:
        """`held_nanos`."""
        return 0 if self.settled else self.holds.held[<int>HOLD_ACCOUNT]

    @property
    def balance_nanos(self) -> int:
        """What the account that pays could still hold now, besides; 0 without one."""
        return self.balance()

    @property
    def held_nanos(self) -> int:
        """What the account holds for it: the most that it can be charged; 0 once it is settled."""
        return self.holding()
