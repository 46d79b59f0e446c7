# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The segment as the supervisor and the keeper change it: accounts, meters, keys; money recovered.

Workers decide on the same memory through `fastgw._core`; nothing here is on the path of a request.
"""
import hashlib
import time

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastgw._tables cimport Tables
from fastgw.kernels.account cimport (
    account_capture, account_captured, account_claim_take, account_hold, account_surplus, account_t, cell_claim,
    cell_claim_add, cell_claim_shrink, cell_t,
)
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, clock_ns, load_i64, load_u64, store_i64, store_u64
from fastgw.kernels.blake2b cimport blake2b_digest, blake2b_start
from fastgw.kernels.journal cimport journal_finish
from fastgw.kernels.keys cimport keys_add, keys_find
from fastgw.kernels.layout cimport (
    ACCOUNT_ACTIVE, ACCOUNT_CLOSED, ACCOUNT_TAGS, KEEPER, KEY_REVOKED, WORKERS_MAX, account_day,
    account_expires_s, account_month, account_plan, key_state, key_t, layout_cell, layout_claim, layout_dirty,
    worker_t,
)
from fastgw.kernels.opens cimport opens_finish

from fastgw._drain import RECORD_BYTES
from fastgw._mapping import SegmentError, boot_number

cdef int LOOKS = 20              # at a claim that is not all there, while others, who are just holding, finish that
cdef double LOOK_S = 0.001
cdef int TRIES = 1000            # of one look
cdef int64_t NOT_SEEN = -0x7fffffffffffffff
cdef uint64_t EXPIRES_MAX = (<uint64_t>1 << 40) - 1

WORKERS = WORKERS_MAX

TAG_MARK = b"\x02"              # of tags among what digests are made of; see kernels/claim.pxd

__all__ = ["RECORD_BYTES", "WORKERS", "Segment", "SegmentError", "account_digest", "boot_number"]


def account_digest(name: str) -> bytes:
    """Sixteen bytes by which the segment knows an account."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


cdef class Segment(Tables):
    """The mapped file. `Segment.create` makes one, `Segment.open` maps what is there.

    `index` is an account's or a meter's: a meter (a key's budget, a quota) is an account that limits something else
    than a balance. Tables have one writer, the keeper.
    """

    def digest(self, key: bytes) -> bytes:
        """The keyed digest (32 bytes) by which the segment knows `key`."""
        cdef uint64_t start[8]
        cdef uint64_t digest[4]
        if not key:
            raise ValueError("a key has at least one byte")
        blake2b_start(start, self.s.header.secret)
        blake2b_digest(start, <const char*>key, len(key), digest)
        return (<char*>digest)[:32]

    # Accounts and meters

    def account_numbers(self) -> dict[bytes, int]:
        """Account index by the 16-byte digest of its name (`account_digest`); meters likewise."""
        cdef uint64_t i
        return {(<char*>self.s.accounts[i].name)[:16]: i for i in range(self.s.header.accounts)}

    def add_account(self, digest: bytes, granted: int, credit: int) -> int:
        """Append an account or meter (nanos; calls, of a quota), active, without terms; its index.

        Raises SegmentError when the table is full.
        """
        cdef uint64_t number = self.s.header.accounts
        cdef account_t* account
        if len(digest) != 16:
            raise ValueError("the digest of an account's name has 16 bytes")
        if number >= self.s.header.accounts_max:
            raise SegmentError(f"more than {self.s.header.accounts_max} accounts: raise accounts_max")
        account = &self.s.accounts[number]
        memcpy(account.name, <const char*>digest, 16)
        store_i64(&account.granted, granted)
        store_i64(&account.credit, credit)
        store_u64(&account.status, ACCOUNT_ACTIVE)
        store_u64(&self.s.header.accounts, number + 1)
        return number

    def grant(self, index: int, granted: int) -> None:
        """Say what an account has ever been given (nanos). Raises ValueError when that is less than now: what is taken
        out again is `take`n."""
        cdef int64_t now
        self._account(index)
        now = load_i64(&self.s.accounts[<uint64_t>index].granted)
        if granted < now:
            raise ValueError(f"account {index} has been granted {now} already, more than {granted}")
        store_i64(&self.s.accounts[<uint64_t>index].granted, granted)

    def set_granted(self, index: int, value: int) -> None:
        """Say how far a meter may go in its present window: what was captured before it, and the limit."""
        self._account(index)
        store_i64(&self.s.accounts[<uint64_t>index].granted, value)

    def set_terms(self, index: int, *, credit: int = 0, status: int = ACCOUNT_ACTIVE, plan: int = 0,
                  expires_s: int = 0, day: int = -1, month: int = -1, tags: bool = False) -> None:
        """Change everything but the money of an account: credit line (nanos), AccountStatus, plan (slot, 0: none),
        Unix time of its end (0: never), meters of its quotas (index, -1: none), whether a tag that is not known yet is
        made at its first use. Of a meter, `expires_s` is the end of its window.

        Raises ValueError for what makes no sense, IndexError for a plan or meter that is not there.
        """
        cdef account_t* account
        cdef uint64_t state
        self._account(index)
        if credit < 0 or not ACCOUNT_ACTIVE <= status <= ACCOUNT_CLOSED or not 0 <= expires_s <= EXPIRES_MAX:
            raise ValueError("credit, status and expires_s must be within their bounds")
        if not 0 <= plan <= self.s.header.plans:
            raise IndexError(f"no plan {plan}")
        for meter in (day, month):
            if meter != -1:
                self._account(meter)
        account = &self.s.accounts[<uint64_t>index]
        state = <uint64_t>(ACCOUNT_TAGS if tags else 0) << 32 | <uint64_t>status
        if status != ACCOUNT_ACTIVE:        # who is suspended is so first, and who is active again is so last
            store_u64(&account.status, state)
        store_i64(&account.credit, credit)
        store_u64(&account.quotas, <uint64_t>(month + 1) << 32 | <uint64_t>(day + 1))
        store_u64(&account.terms, <uint64_t>plan << 40 | <uint64_t>expires_s)
        store_u64(&account.status, state)

    def set_quotas(self, index: int, *, day_tokens: int = -1, month_tokens: int = -1) -> None:
        """The meters of an account's quotas in tokens (index, -1: none)."""
        self._account(index)
        for meter in (day_tokens, month_tokens):
            if meter != -1:
                self._account(meter)
        store_u64(&self.s.account_tokens[<uint64_t>index].quotas,
                  <uint64_t>(month_tokens + 1) << 32 | <uint64_t>(day_tokens + 1))

    def account(self, index: int) -> dict[str, int]:
        """Nanos: granted, credit, committed (what admission sees) and its parts: captured by workers, taken by the
        keeper, held. Then status, plan, expires_s, day and month as `set_terms` has them, those of `set_quotas`."""
        cdef account_t* a
        cdef int64_t captured, taken, committed
        cdef uint64_t quotas, tokens, terms
        self._account(index)
        a = &self.s.accounts[<uint64_t>index]
        captured = account_captured(layout_cell(&self.s, 0, index), self.s.header.accounts_max,
                                    <int>self.s.header.workers)
        taken = load_i64(&layout_cell(&self.s, KEEPER, index).captured)
        committed = load_i64(&a.committed)
        quotas = load_u64(&a.quotas)
        tokens = load_u64(&self.s.account_tokens[<uint64_t>index].quotas)
        terms = load_u64(&a.terms)
        return {"granted": load_i64(&a.granted), "credit": load_i64(&a.credit), "committed": committed,
                "captured": captured, "taken": taken, "held": committed - captured - taken,
                "status": <uint32_t>load_u64(&a.status), "plan": account_plan(terms),
                "expires_s": account_expires_s(terms),
                "day": <int64_t>account_day(quotas) - 1, "month": <int64_t>account_month(quotas) - 1,
                "day_tokens": <int64_t>account_day(tokens) - 1, "month_tokens": <int64_t>account_month(tokens) - 1}

    # What the keeper takes out: a hold and a capture of its own cell

    def take(self, index: int, amount: int) -> bool:
        """Hold `amount` ≥ 1 nanos for the keeper, if the account has them free now; then `take_settle`."""
        self._account(index)
        if amount < 1:
            raise ValueError("what is taken is at least 1 nano")
        return account_hold(&self.s.accounts[<uint64_t>index], layout_cell(&self.s, KEEPER, index), amount)

    def take_settle(self, index: int, amount: int, keep: bool) -> None:
        """What `take` held is gone for good (`keep`: the ledger says so), or free again."""
        cdef cell_t* cell
        self._account(index)
        cell = layout_cell(&self.s, KEEPER, index)
        if not 1 <= amount <= cell_claim(cell):
            raise ValueError("more is settled than was taken")
        account_capture(&self.s.accounts[<uint64_t>index], cell, NULL, amount, amount if keep else 0)

    def take_recover(self, index: int, taken: int) -> None:
        """At a keeper's start: `taken` is what keepers have ever taken, as the ledger knows; what else the last one
        held is free again. Doing it again changes nothing. Raises ValueError when it never held as much.
        """
        cdef cell_t* cell
        self._account(index)
        cell = layout_cell(&self.s, KEEPER, index)
        if not 0 <= taken <= cell.reserved - cell.released:
            raise ValueError(f"{taken} were never taken out of account {index}")
        store_i64(&cell.captured, taken)
        if cell_claim(cell):
            self._recover_claims([index], KEEPER)
        self._take_excess(index, KEEPER)

    # Keys

    def tag_digest(self, account: str, tag: str) -> bytes:
        """The digest (32 bytes) of the key record that a tag is: of what no request can present as a key."""
        return self.digest(TAG_MARK + account_digest(account) + tag.encode())

    def find_key(self, digest: bytes) -> int:
        """The key's index, or -1."""
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        return keys_find(&self.s, <const uint64_t*><const char*>digest)

    def add_key(self, digest: bytes, account: int, limit: int, status: int, expires_s: int, budget: int = -1) -> int:
        """Append a key that `find_key` does not know; its index. `budget` is the index of its meter, -1 for none.

        Raises SegmentError when the table is full.
        """
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        self._key_terms(account, limit, budget)
        number = keys_add(&self.s, <const uint64_t*><const char*>digest, account, limit,
                          key_state(status, budget + 1), expires_s)
        if number < 0:
            raise SegmentError(f"more than {self.s.header.keys_max} keys: raise keys_max")
        return number

    def set_key(self, index: int, account: int, limit: int, status: int, expires_s: int, budget: int = -1) -> None:
        """Change a key; every worker sees it at its next request."""
        cdef key_t* key
        self._key(index)
        self._key_terms(account, limit, budget)
        key = &self.s.keys[<uint64_t>index]
        store_i64(&key.expires_s, expires_s)
        # Account and limit are the two halves of one word, so that no worker sees one without the other.
        store_u64(<uint64_t*>&key.account, <uint64_t><uint32_t>limit << 32 | <uint32_t>account)
        store_u64(&key.state, key_state(status, budget + 1))

    def set_key_tokens(self, index: int, limit: int) -> None:
        """Limit a key in tokens (`limit`, 0 for none); in force for what is reserved next."""
        self._key(index)
        self._limit(limit)
        store_u64(&self.s.key_tokens[<uint64_t>index].limit, limit)

    def set_key_scope(self, index: int, scope: int) -> None:
        """Limit a key to a set of models (`scope`, 0 for all); every worker sees it at its next request."""
        self._key(index)
        self._scope(scope)
        store_u64(&self.s.key_tokens[<uint64_t>index].scope, scope)

    def revoke_key(self, index: int) -> None:
        """Refuse the key from now on, in every worker."""
        cdef key_t* key
        self._key(index)
        key = &self.s.keys[<uint64_t>index]
        store_u64(&key.state, key_state(KEY_REVOKED, <uint32_t>(key.state >> 32)))

    def key(self, index: int) -> dict[str, Any]:
        """digest (32 bytes), account, limit (0: none), status, expires_s, budget (index of its meter, -1: none),
        tokens (number of its limit in tokens, 0: none), scope (number of its set of models, 0: all)."""
        cdef key_t* key
        cdef uint64_t both, state
        self._key(index)
        key = &self.s.keys[<uint64_t>index]
        both = load_u64(<uint64_t*>&key.account)
        state = load_u64(&key.state)
        return {"digest": (<char*>key.digest)[:32], "account": <uint32_t>both, "limit": both >> 32,
                "status": <uint32_t>state, "expires_s": load_i64(&key.expires_s), "budget": <int64_t>(state >> 32) - 1,
                "tokens": load_u64(&self.s.key_tokens[<uint64_t>index].limit),
                "scope": load_u64(&self.s.key_tokens[<uint64_t>index].scope)}

    cdef int _key_terms(self, object account, object limit, object budget) except -1:
        self._account(account)
        self._limit(limit)
        if budget != -1:
            self._account(budget)
        return 0

    # Workers and the ledger's state

    def stop_money(self, stopped: bool) -> None:
        """Let no worker charge anybody from now on, because the ledger cannot write; or let them again."""
        store_u64(&self.s.header.money_stopped, 1 if stopped else 0)

    @property
    def money_stopped(self) -> bool:
        return load_u64(&self.s.header.money_stopped) != 0

    def worker_set(self, index: int, pid: int, state: int) -> None:
        """Say who runs in slot `index` and how far it is (0 absent, 1 starting, 2 ready, 3 draining)."""
        cdef worker_t* w
        self._worker(index)
        w = &self.s.workers[<int>index]
        if state < 2:
            w.clients = w.upstreams = w.exchanges = w.tunnels = w.memory = w.pressure = w.held = 0
        store_u64(&w.pid, pid)
        store_u64(&w.state, state)
        layout_claim(&self.s, index)

    def keeper_beat(self) -> None:
        """By the keeper, about once a second while it lives."""
        store_u64(&self.s.header.keeper_beat_ns, clock_ns(CLOCK_MONOTONIC))

    @property
    def keeper_beat_ns(self) -> int:
        """When the keeper's heart last beat (ns of the monotonic clock)."""
        return load_u64(&self.s.header.keeper_beat_ns)

    def recover(self, index: int) -> tuple[int, int]:
        """Finish the call that the dead worker in slot `index` was settling, charge what others had come to cost, void
        what else it held, and take out of every account and meter what nobody holds.

        Returns (amount voided, amount taken out of `committed`), of accounts and meters together. For one process at a
        time, when the worker is known to be dead and before another takes its slot; others go on meanwhile. Doing it
        again changes nothing.
        """
        cdef uint64_t a
        cdef int64_t voided = 0
        cdef int64_t surplus = 0
        cdef int worker
        self._worker(index)
        worker = index
        journal_finish(&self.s, worker)
        opens_finish(&self.s, worker)
        claimed = []
        for a in range(self.s.header.accounts):
            if cell_claim(layout_cell(&self.s, worker, a)):
                voided += cell_claim(layout_cell(&self.s, worker, a))
                claimed.append(a)
        surplus = self._recover_claims(claimed, worker)
        for a in range(self.s.header.accounts):
            surplus += self._take_excess(a, worker)
        return voided, surplus

    cdef int64_t _recover_claims(self, list accounts, int row) except -1:
        """Give back what `row`, whose owner is dead, claims of the accounts: what was taken out of `committed`.

        As a rule at the first look. What is not there at any of LOOKS looks is given up.
        """
        cdef int64_t surplus = 0
        cdef int look, _look
        missing = {}
        shrunk = []
        for look in range(2 * LOOKS + 1):
            if look:
                time.sleep(LOOK_S)
            rest = []
            for a in accounts:
                taken, seen = self._take_claim(a, row)
                surplus += taken
                if seen < 0:
                    missing[a] = max(seen, missing.get(a, NOT_SEEN))
                    if look >= LOOKS and missing[a] != NOT_SEEN:
                        cell_claim_shrink(layout_cell(&self.s, row, a), -missing.pop(a))
                        shrunk.append(a)
                    rest.append(a)
            accounts = rest
            if not accounts:
                break
        for _look in range(LOOKS if shrunk else 0):     # it may have been too much, if others gave up the same
            time.sleep(LOOK_S)
            for a in shrunk:
                surplus += self._take_excess(a, row)
        return surplus

    cdef tuple _take_claim(self, uint64_t a, int row):
        """Take a claim out of `committed` if it is there: (its nanos, or 0; the best surplus that was seen)."""
        cdef cell_t* mine = layout_cell(&self.s, row, a)
        cdef int64_t claim = cell_claim(mine)
        cdef int64_t best = NOT_SEEN
        cdef int64_t surplus
        cdef int _try
        if not claim:
            return 0, 0
        for _try in range(TRIES):
            if self._surplus(a, &surplus) and surplus > best:
                best = surplus
                if surplus >= 0:
                    account_claim_take(&self.s.accounts[a], mine)
                    return claim, surplus
        return 0, best

    cdef int64_t _take_excess(self, uint64_t a, int row) except -1:
        """Take out of `committed` what no row claims: the nanos. There is some when a recovery gave up too much.

        It is claimed first. Of two who claim the same at the same time, the keeper gives way.
        """
        cdef cell_t* mine = layout_cell(&self.s, row, a)
        cdef int64_t surplus, taken
        cdef int _try, look
        for _try in range(TRIES):
            if self._surplus(a, &surplus):
                break
        else:
            return 0
        if surplus <= 0 or cell_claim(mine):
            return 0
        cell_claim_add(mine, surplus)
        for look in range(1 if row == KEEPER else LOOKS):
            if look:
                time.sleep(LOOK_S)
            taken = self._take_claim(a, row)[0]
            if taken:
                return taken
        cell_claim_shrink(mine, surplus)
        return 0

    cdef bint _surplus(self, uint64_t a, int64_t* surplus) noexcept:
        return account_surplus(&self.s.accounts[a], layout_cell(&self.s, KEEPER, a), self.s.header.accounts_max,
                               &self.s.header.workers, surplus)

    # For tests and tools: the kernels by hand, as one worker

    def hold(self, worker: int, account: int, cost: int) -> bool:
        """Reserve `cost` nanos as `worker` would."""
        self._worker(worker)
        self._account(account)
        if cost < 1:
            raise ValueError("a hold is of at least 1 nano")
        layout_claim(&self.s, worker)
        return account_hold(&self.s.accounts[<uint64_t>account], layout_cell(&self.s, worker, account), cost)

    def capture(self, worker: int, account: int, held: int, cost: int) -> None:
        """Charge `cost` of a hold of `held` nanos and give back the rest."""
        self._worker(worker)
        self._account(account)
        if not 0 <= cost <= held:
            raise ValueError("a capture is between 0 and its hold")
        account_capture(&self.s.accounts[<uint64_t>account], layout_cell(&self.s, worker, account),
                        layout_dirty(&self.s, worker, account), held, cost)
