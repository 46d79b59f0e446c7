# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The kernels by hand, for tests and benches only: their clock injected, their single stores, and loops in C.

Never shipped. It cimports the same .pxd files as the package, so what is tested here is what decides there.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from fastgw._call cimport Peer, Ticket
from fastgw._core cimport Gate
from fastgw._idempotency cimport Idempotency
from fastgw._segment cimport Segment
from fastgw._targets cimport Tally
from fastgw.kernels.account cimport (
    account_capture, account_hold, account_surplus, account_t, account_why, cell_t, hold_result_t,
)
from fastgw.kernels.atomics cimport CLOCK_MONOTONIC, add_i64, clock_ns, load_i64, load_u64, store_i64, store_u64
from fastgw.kernels.blake2b cimport blake2b_digest, blake2b_start
from fastgw.kernels.bucket cimport bucket_remaining, bucket_take, bucket_undo, bucket_wait_ns, limit_t
from fastgw.kernels.idempotency cimport IDEM_NEW, idem_end, idem_take, spot_t
from fastgw.kernels.keys cimport keys_find
from fastgw.kernels.latency cimport latency_bucket
from fastgw.kernels.layout cimport (
    CODE_CLASS, CODES_MAX, KEEPER, LATENCY_BUCKETS, OPENS_MAX, PATH_BYTES, STAGES, layout_cell, layout_counters,
    layout_dirty, layout_rows, open_t, record_t,
)
from fastgw.kernels.tokens cimport (
    drawn_t, token_bucket_t, tokens_owe, tokens_remaining, tokens_return, tokens_take,
)
from fastgw.kernels.render cimport MONEY_BYTES, TIME_BYTES, put_decimal, put_hex, put_hex64, put_money, put_time

cdef extern from "<time.h>":
    int CLOCK_THREAD_CPUTIME_ID

CODES = CODES_MAX
FIRST_CLASS = CODE_CLASS
BUCKETS = LATENCY_BUCKETS
HISTOGRAMS = STAGES
PATH_KEPT = PATH_BYTES
RECORD_SIZE = sizeof(record_t)
CELL_SIZE = sizeof(cell_t)
ACCOUNT_SIZE = sizeof(account_t)
OPENS = OPENS_MAX
OPENS_SIZE = OPENS_MAX * sizeof(open_t)


# Bytes

def blake2b(bytes secret, bytes data):
    """The 32-byte digest of `data` (≥ 1 byte) under a 32-byte secret."""
    cdef uint64_t start[8]
    cdef uint64_t digest[4]
    assert len(secret) == 32
    assert data
    blake2b_start(start, <const unsigned char*>PyBytes_AS_STRING(secret))
    blake2b_digest(start, PyBytes_AS_STRING(data), len(data), digest)
    return (<char*>digest)[:32]


def decimal(uint64_t value):
    cdef char text[20]
    return text[:put_decimal(text, value) - text]


def hexadecimal(uint64_t value):
    cdef char text[16]
    return text[:put_hex(text, value) - text]


def hexadecimal16(uint64_t value):
    cdef char text[16]
    return text[:put_hex64(text, value) - text]


def money(int64_t nanos):
    cdef char text[MONEY_BYTES]
    return text[:put_money(text, nanos) - text]


def timestamp(int64_t unix_s):
    cdef char text[TIME_BYTES]
    return text[:put_time(text, unix_s) - text]


def bucket_of_latency(int64_t us):
    return latency_bucket(us)


# Limits

cdef class Bucket:
    """One bucket of a limit, with the clock given by the caller in nanoseconds."""
    cdef limit_t limit
    cdef uint64_t word, before, after

    def __init__(self, interval, tolerance, scale, burst):
        self.limit.interval = interval
        self.limit.tolerance = tolerance
        self.limit.scale = scale
        self.limit.burst = burst

    def take(self, uint64_t now_ns):
        """0 when a call was taken, else the nanoseconds to wait."""
        return bucket_take(&self.word, &self.limit, now_ns, &self.before, &self.after)

    def wait(self, uint64_t now_ns):
        return bucket_wait_ns(&self.limit, self.word, now_ns)

    def remaining(self, uint64_t now_ns):
        return bucket_remaining(&self.limit, self.word, now_ns)

    def last(self):
        """The word before and after the last call that was taken."""
        return self.before, self.after

    def undo(self, uint64_t before, uint64_t after):
        return bool(bucket_undo(&self.word, before, after))

    @property
    def tat(self):
        return self.word


cdef class Drawn:
    """What one call has drawn from a bucket of tokens."""
    cdef drawn_t d

    @property
    def tokens(self):
        return self.d.tokens

    @property
    def back(self):
        return self.d.back


cdef class TokenBucket:
    """One bucket of tokens, with the clock given by the caller in nanoseconds."""
    cdef limit_t limit
    cdef token_bucket_t bucket

    def __init__(self, interval, tolerance, scale, burst):
        self.limit.interval = interval
        self.limit.tolerance = tolerance
        self.limit.scale = scale
        self.limit.burst = burst

    def take(self, Drawn drawn, uint64_t now_ns, uint64_t count):
        """0 when they were drawn, else the nanoseconds to wait."""
        return tokens_take(&self.bucket, &self.limit, now_ns, count, &drawn.d)

    def give_back(self, Drawn drawn, uint64_t now_ns, int64_t count):
        tokens_return(&self.bucket, &self.limit, now_ns, &drawn.d, count)

    def owe(self, uint64_t now_ns, uint64_t count):
        tokens_owe(&self.bucket, &self.limit, now_ns, count)

    def remaining(self, uint64_t now_ns):
        return tokens_remaining(&self.limit, self.bucket.tat, now_ns)

    @property
    def tat(self):
        return self.bucket.tat


def limit_at(Segment segment, int number):
    """(interval, tolerance, scale, burst, window_s) of a key's limit."""
    cdef limit_t* limit = &segment.s.limits[number - 1]
    return limit.interval, limit.tolerance, limit.scale, limit.burst, limit.window_s


# Accounts: the words, and the steps by which the kernels change them

def cell(Segment segment, int worker, uint64_t account):
    """(reserved, captured, released)."""
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    return load_i64(&c.reserved), load_i64(&c.captured), load_i64(&c.released)


def reserved_add(Segment segment, int worker, uint64_t account, int64_t nanos):
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    store_i64(&c.reserved, c.reserved + nanos)


def captured_add(Segment segment, int worker, uint64_t account, int64_t nanos):
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    store_i64(&c.captured, c.captured + nanos)


def released_add(Segment segment, int worker, uint64_t account, int64_t nanos):
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    store_i64(&c.released, c.released + nanos)


def committed_add(Segment segment, uint64_t account, int64_t nanos):
    add_i64(&segment.s.accounts[account].committed, nanos)


def surplus(Segment segment, uint64_t account):
    """`committed` less what all rows claim and have charged; None when somebody was at it."""
    cdef int64_t found
    if account_surplus(&segment.s.accounts[account], layout_cell(&segment.s, KEEPER, account),
                       segment.s.header.accounts_max, &segment.s.header.workers, &found):
        return found
    return None


def why(Segment segment, uint64_t account, int64_t cost):
    """1: the balance does not cover it; 2: calls in flight hold the money."""
    return <int>account_why(&segment.s.accounts[account], layout_cell(&segment.s, KEEPER, account),
                            segment.s.header.accounts_max, layout_rows(&segment.s), cost)


# Words of the segment that a test looks at or damages

def unindex_last_key(Segment segment):
    """As a writer leaves it that was killed before the last store of a key."""
    cdef uint64_t number = segment.s.header.keys
    cdef uint64_t at
    for at in range(segment.s.index_mask + 1):
        if <uint32_t>segment.s.index[at] == number:
            segment.s.index[at] = 0


def index_slots(Segment segment):
    return segment.s.index_mask + 1


def key_words(Segment segment, int index):
    """(account, limit, state, expires_s)."""
    return (segment.s.keys[index].account, segment.s.keys[index].limit, segment.s.keys[index].state,
            segment.s.keys[index].expires_s)


def bucket_words(Segment segment, int slot, int key):
    """(TAT of the route's bucket, TAT of the key's own)."""
    return segment.s.buckets[<uint64_t>slot * segment.s.header.keys_max + <uint64_t>key], segment.s.keys[key].tat


def account_bucket(Segment segment, int account):
    """TAT of the bucket of the plan's rate."""
    return segment.s.account_tats[account]


def count(Segment segment, int worker, int route, int code, uint64_t calls):
    """Add to a counter of route slot `route`, -1 for none."""
    cdef uint64_t* counters = layout_counters(&segment.s, worker, route + 1)
    store_u64(&counters[code], load_u64(&counters[code]) + calls)


# Loops for races. Random numbers are xorshift64, so that a seed says everything.

cdef inline uint64_t _random(uint64_t* state) noexcept nogil:
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


def race_account(Segment segment, int worker, uint64_t account, int64_t cost, uint64_t seed, int64_t until_ns,
                 bint partly):
    """Hold, and capture or void in any order, until the balance is used up or CLOCK_MONOTONIC is `until_ns`.

    Up to eight holds are open at once. A hold is captured whole, or void; with `partly`, also in part. A quarter is
    void. Returns (calls captured, nanos captured, holds refused).
    """
    cdef account_t* a = &segment.s.accounts[account]
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    cdef cell_t* first = layout_cell(&segment.s, KEEPER, account)
    cdef uint8_t* dirty = layout_dirty(&segment.s, worker, account)
    cdef uint64_t stride = segment.s.header.accounts_max
    cdef uint64_t state = seed | 1
    cdef uint64_t dice
    cdef int64_t charge
    cdef int64_t captured = 0
    cdef int64_t calls = 0
    cdef int64_t refused = 0
    cdef int open = 0
    cdef int turns = 0
    cdef bint over = False
    while True:
        dice = _random(&state)
        turns += 1
        if turns & 255 == 0 and clock_ns(CLOCK_MONOTONIC) >= until_ns:
            over = True
        if not over and open < 8 and dice & 1:
            if account_hold(a, c, cost):
                open += 1
                continue
            refused += 1
            if account_why(a, first, stride, layout_rows(&segment.s), cost) == hold_result_t.HOLD_INSUFFICIENT:
                over = True
        if open:
            charge = 0
            if dice >> 8 & 3:
                charge = cost
                if partly:
                    charge = <int64_t>((dice >> 16) % <uint64_t>(cost + 1))
            account_capture(a, c, dirty, cost, charge)
            captured += charge
            calls += charge != 0
            open -= 1
        elif over:
            return calls, captured, refused


def watch_account(Segment segment, uint64_t account, int64_t until_ns):
    """Look at an account as fast as can be: (looks, times over its means, times below what was captured)."""
    cdef account_t* a = &segment.s.accounts[account]
    cdef cell_t* first = layout_cell(&segment.s, KEEPER, account)
    cdef int64_t captured, committed
    cdef int64_t looks = 0
    cdef int64_t over = 0
    cdef int64_t below = 0
    cdef int w
    while clock_ns(CLOCK_MONOTONIC) < until_ns:
        captured = 0
        for w in range(layout_rows(&segment.s)):
            captured += load_i64(&first[w * segment.s.header.accounts_max].captured)
        committed = load_i64(&a.committed)
        looks += 1
        over += committed > a.granted + a.credit
        below += committed < captured
    return looks, over, below


def race_bucket(Segment segment, int slot, int key, int number, int64_t until_ns, size_t most):
    """Take from a bucket under limit `number` until CLOCK_MONOTONIC is `until_ns`: the clock (ns since the epoch) at
    which each call was admitted, as 8-byte integers of this machine."""
    cdef limit_t* limit = &segment.s.limits[number - 1]
    cdef uint64_t* word = &segment.s.buckets[<uint64_t>slot * segment.s.header.keys_max + <uint64_t>key]
    cdef uint64_t* stamps = <uint64_t*>malloc(most * 8)
    cdef size_t taken = 0
    cdef int64_t now
    cdef uint64_t before, after
    while taken < most:
        now = clock_ns(CLOCK_MONOTONIC)
        if now >= until_ns:
            break
        now -= <int64_t>segment.s.header.epoch_ns
        if bucket_take(word, limit, now, &before, &after) == 0:
            stamps[taken] = now
            taken += 1
    out = PyBytes_FromStringAndSize(<char*>stamps, taken * 8)
    free(stamps)
    return out


def race_journal(Gate gate, Peer peer, bytes data, int digits_at, int64_t until_ns):
    """Refuse requests until CLOCK_MONOTONIC is `until_ns`; the n-th has n in 16 hexadecimal digits, six times over, at
    `digits_at` of its head. Returns how many."""
    cdef bytes own = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    cdef char* at = PyBytes_AS_STRING(own) + digits_at
    cdef uint64_t n = 0
    cdef int i
    while clock_ns(CLOCK_MONOTONIC) < until_ns:
        n += 1
        for i in range(6):
            put_hex64(at + 16 * i, n)
        gate.begin(own, 0, PyBytes_GET_SIZE(own))
        gate.refuse(gate.decide(peer), False)
    return n


# Loops for the bench: nanoseconds of this thread's CPU time for `turns` decisions

def race_idempotency(Idempotency table, const uint64_t[:, ::1] digests, uint8_t[::1] owners, int64_t until_ns,
                     uint64_t seed):
    """Take keys of which others want the same and give them back in no order, until then: (how often a key was had
    that another had too, how often one was had).

    `digests` is n × 4 words, `owners` n bytes that all who race share.
    """
    cdef uint64_t random = seed * 2 + 1
    cdef uint64_t keys = digests.shape[0]
    cdef uint64_t key[4]
    cdef uint64_t number[4]
    cdef uint64_t slot, wanted
    cdef uint8_t me = <uint8_t>(table.t.me + 1)
    cdef int held[4]
    cdef int64_t twice = 0
    cdef int64_t taken = 0
    cdef int64_t now = clock_ns(CLOCK_MONOTONIC)
    cdef spot_t found
    held[:] = [False, False, False, False]
    with nogil:
        while now < until_ns:
            now = clock_ns(CLOCK_MONOTONIC)
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            slot = random & 3
            wanted = (random >> 8) % keys
            if held[slot]:
                twice += owners[key[slot]] != me
                owners[key[slot]] = 0
                idem_end(&table.t, number[slot], False)
                held[slot] = False
            elif idem_take(&table.t, &digests[wanted, 0], now, &found) == IDEM_NEW:
                twice += owners[wanted] != 0
                owners[wanted] = me
                key[slot] = wanted
                number[slot] = found.number
                held[slot] = True
                taken += 1
        for slot in range(4):
            if held[slot]:
                twice += owners[key[slot]] != me
                owners[key[slot]] = 0
                idem_end(&table.t, number[slot], False)
    return twice, taken


def race_targets(Tally tally, uint8_t[:] inside, unsigned int most, int64_t until_ns):
    """Count calls in and out at a target until then: how often there was room, and how often more than `most` were in.

    `inside` is a word that all racers count in."""
    cdef int64_t* word = <int64_t*>&inside[0]
    cdef int64_t entered = 0
    cdef int64_t over = 0
    while clock_ns(CLOCK_MONOTONIC) < until_ns:
        if tally.enter(most):
            entered += 1
            over += add_i64(word, 1) >= most
            add_i64(word, -1)
            tally.leave()
    return entered, over


def time_nothing(int64_t turns):
    """What a turn of such a loop costs by itself: a random number."""
    cdef uint64_t state = 88172645463325252
    cdef uint64_t total = 0
    cdef int64_t _turn
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        total += _random(&state)
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    return start + (total == 1)


def time_keys(Segment segment, bytes digests, int64_t turns):
    """Look up random ones of `digests` (32 bytes each)."""
    cdef const uint64_t* all = <const uint64_t*>PyBytes_AS_STRING(digests)
    cdef uint64_t number = len(digests) // 32
    cdef uint64_t state = 88172645463325252
    cdef int64_t missed = 0
    cdef int64_t _turn
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        missed += keys_find(&segment.s, all + 4 * (_random(&state) % number)) < 0
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    assert missed == 0
    return start


def time_digest(Segment segment, bytes key, int64_t turns):
    """Hash a presented key."""
    cdef uint64_t start_state[8]
    cdef uint64_t digest[4]
    cdef int64_t _turn
    cdef int64_t start
    blake2b_start(start_state, segment.s.header.secret)
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        blake2b_digest(start_state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), digest)
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - start


def time_bucket(Segment segment, int slot, int key, int number, int64_t turns):
    """Take from one bucket, whose clock moves by 10 ns a turn; also how many were refused."""
    cdef limit_t* limit = &segment.s.limits[number - 1]
    cdef uint64_t* word = &segment.s.buckets[<uint64_t>slot * segment.s.header.keys_max + <uint64_t>key]
    cdef uint64_t before, after
    cdef uint64_t now = <uint64_t>(clock_ns(CLOCK_MONOTONIC) - <int64_t>segment.s.header.epoch_ns)
    cdef int64_t refused = 0
    cdef int64_t _turn
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        refused += bucket_take(word, limit, now, &before, &after) != 0
        now += 10
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    return start, refused


def time_account(Segment segment, int worker, uint64_t account, int64_t cost, int64_t turns):
    """Hold `cost` and capture it, from a balance that lasts."""
    cdef account_t* a = &segment.s.accounts[account]
    cdef cell_t* c = layout_cell(&segment.s, worker, account)
    cdef uint8_t* dirty = layout_dirty(&segment.s, worker, account)
    cdef int64_t refused = 0
    cdef int64_t _turn
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        if account_hold(a, c, cost):
            account_capture(a, c, dirty, cost, cost - 1)
        else:
            refused += 1
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    assert refused == 0
    return start


def time_refuse(Gate gate, Peer peer, bytes data, int64_t turns):
    """Scan, decide and refuse one request: all that it takes, from bytes to bytes."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef int64_t _turn
    cdef int verdict = 0
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        gate.begin(data, 0, length)
        verdict = gate.decide(peer)
        if verdict:
            gate.refuse(verdict, False)
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - start, verdict


def time_bytes(Gate gate, Peer peer, bytes data, int verdict, int64_t turns):
    """The refusal's bytes, counter and journal record alone, for a request that was scanned once."""
    cdef int64_t _turn
    cdef int64_t start
    gate.begin(data, 0, PyBytes_GET_SIZE(data))
    gate.decide(peer)
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        gate.refuse(verdict, False)
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - start


def time_admit(Gate gate, Peer peer, bytes data, int64_t turns):
    """Scan and decide one request, hold, capture and record: a whole call but for its forwarding."""
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    cdef Ticket ticket
    cdef int64_t refused = 0
    cdef int64_t _turn
    cdef int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        gate.begin(data, 0, length)
        if gate.decide(peer) == 0:
            ticket = gate.ticket()
            gate.settle(ticket, 0, 200, True, -1, 100, 100, 1)
        else:
            refused += 1
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    return start, refused


def time_extend(Gate gate, Peer peer, bytes data, int64_t turns):
    """Let the hold of one call in flight grow; also what refused it at last."""
    cdef Ticket ticket
    cdef int64_t _turn
    cdef int verdict = 0
    cdef int64_t start
    gate.begin(data, 0, PyBytes_GET_SIZE(data))
    gate.decide(peer)
    ticket = gate.ticket()
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    for _turn in range(turns):
        verdict |= gate.extend(ticket, 7)
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start
    gate.settle(ticket, 0, 200, True, 0, 0, 0, 1)
    return start, verdict
