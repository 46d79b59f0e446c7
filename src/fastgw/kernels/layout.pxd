# Decides where each record of the segment lies: one mapped file, fixed-size records, sparse areas.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastgw.kernels.account cimport account_t, cell_t
from fastgw.kernels.atomics cimport cas_u64, load_u64
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.tokens cimport token_bucket_t

cdef enum:
    LAYOUT_VERSION = 4
    WORKERS_MAX = 64
    CODES_MAX = 64          # verdicts 0..56, then the classes 1xx..5xx of forwarded answers
    CODE_CLASS = 56         # CODE_CLASS + 1 … CODE_CLASS + 5: answers of the upstream by class
    STAGES = 3              # latency histograms: decide, first byte, total
    LATENCY_BUCKETS = 128   # 4 per octave of microseconds
    LIMITS_MAX = 65536      # different limits of keys
    PLANS_MAX = 1024
    MODELS_MAX = 4096       # served models that ever had a number
    SCOPES_MAX = 4096       # different sets of models that keys are limited to
    SCOPE_BYTES = 1024
    PATH_BYTES = 96
    TAIL_BYTES = 32         # of a record, behind its path
    DIRTY_ACCOUNTS = 64     # accounts that share one dirty byte
    KEEPER = -1             # the row of cells that is the keeper's own, before worker 0's
    HOLDS = 7               # what a call may hold from: hold_kind_t of kernels/journal.pxd
    OPENS_MAX = 8192        # calls of one worker that can be open_t at once
    RECORD_CHARGED = 1      # record_t.flags: something was captured
    RECORD_ESTIMATED = 2    # the tokens are the gateway's own count, not the provider's

cdef enum worker_state_t:
    WORKER_ABSENT = 0
    WORKER_STARTING = 1
    WORKER_READY = 2
    WORKER_DRAINING = 3

cdef enum key_status_t:
    KEY_ACTIVE = 1
    KEY_REVOKED = 2

cdef enum account_status_t:
    ACCOUNT_ACTIVE = 1
    ACCOUNT_SUSPENDED = 2
    ACCOUNT_CLOSED = 3      # no longer declared

cdef enum account_flag_t:           # in the high half of account_t.status
    ACCOUNT_TAGS = 1        # a tag not known yet is made at its first use

cdef struct header_t:               # one page
    uint64_t magic                  # written last: a file without it was never finished
    uint64_t version
    uint64_t keys_max
    uint64_t accounts_max
    uint64_t routes_max
    uint64_t journal_records
    uint64_t size
    uint64_t boot                   # digest of the kernel's boot id: the clock of another boot means nothing
    uint64_t epoch_ns               # CLOCK_MONOTONIC at creation; buckets count from here
    uint64_t keys
    uint64_t accounts
    uint64_t limits
    uint64_t routes
    uint64_t key_changes            # grows whenever the index names another key
    uint64_t workers                # slots ever used: 1 + the highest index
    uint64_t plans
    uint64_t models
    uint64_t money_stopped          # not 0: the ledger cannot write, so nothing may be charged
    uint64_t identity[2]            # random, of this very file
    uint8_t secret[32]              # of the keys' digests; given from outside
    uint64_t keeper_beat_ns         # CLOCK_MONOTONIC; 0: a keeper that does not tell
    uint64_t scopes

cdef struct key_t:                  # 64 bytes
    uint64_t digest[4]
    uint32_t account                # and limit: two halves of one word
    uint32_t limit                  # 0: none, else index + 1
    uint64_t state                  # key_state(): status, and the meter of the key's budget
    int64_t expires_s               # Unix time; 0: never
    uint64_t tat                    # bucket of the key's own limit

cdef struct name_t:                 # 64 bytes; a route keeps its slot, so its buckets and counters, as long as its name
    char name[64]

cdef struct model_name_t:           # 128 bytes; a model keeps its number as long as its name
    char name[128]

cdef struct model_count_t:          # 64 bytes: what one worker has counted of one model, ever
    uint64_t calls
    uint64_t estimated              # calls of which the provider said nothing
    uint64_t tokens_in
    uint64_t tokens_out
    uint64_t tokens_cached          # of those in
    uint64_t tokens_reasoning       # of those out
    uint64_t spare[2]

cdef struct scope_t:                # which models some keys may ask for: names and patterns, a space between two
    char text[SCOPE_BYTES]

cdef struct key_tokens_t:           # 32 bytes: the key's limit in tokens, and the models that it may ask for
    uint64_t limit                  # 0: none, else index + 1
    token_bucket_t bucket
    uint64_t scope                  # 0: all, else index + 1

cdef struct account_tokens_t:       # 32 bytes
    token_bucket_t bucket                   # of the plan's rate in tokens
    uint64_t quotas                 # meters of a day's and a month's tokens, as account_t.quotas has those of calls
    uint64_t spare

cdef struct worker_t:               # 128 bytes
    uint64_t pid
    uint64_t state
    uint64_t started_ns             # CLOCK_MONOTONIC
    uint64_t heartbeat_ns
    uint64_t clients                # connections open now
    uint64_t upstreams
    uint64_t exchanges              # calls in flight
    uint64_t accepted               # connections ever
    uint64_t memory                 # bytes of its own
    uint64_t pressure               # 0, or how short of memory it is: Level of dataplane/pressure.py
    uint64_t shed                   # idle connections ever closed because memory was short
    uint64_t tunnels                # of the calls in flight
    uint64_t turned_away            # connections ever closed for their PROXY header
    uint64_t handshakes             # of TLS, ever done
    uint64_t handshakes_failed      # refused by either side, cut, or not done in time
    int64_t held                    # nanos that the calls in flight hold

cdef struct journal_t:              # 128 bytes, then the records
    uint64_t written                # records ever written; record n lies at n modulo the ring's size
    int64_t cost_sum                # nanos that those have cost
    uint64_t intent                 # written + 1: record `written` is whole, and its captures are being made
    uint32_t kinds                  # how many places the intent has
    uint32_t place[HOLDS]           # what it captures from: index + 1; 0: nothing
    int64_t after[HOLDS]            # and what the worker's cells have captured once that is done
    uint64_t open                   # the slot that it empties, + 1; 0: none
    uint64_t opens                  # slots that have ever been used

cdef struct record_t:               # 256 bytes: one finished call
    uint64_t number                 # n + 1, written last; a reader takes it before and after it copies
    int64_t time_ns                 # Unix time of the request's first byte
    uint64_t request[2]             # request id
    int64_t cost                    # nanos
    uint64_t bytes_in
    uint64_t bytes_out
    uint32_t account                # index + 1; 0: none
    uint32_t key
    uint16_t route                  # slot + 1; 0: none
    uint16_t status
    uint16_t target
    uint8_t verdict
    uint8_t method
    uint32_t decided_us
    uint32_t first_byte_us
    uint32_t total_us
    uint16_t port
    uint16_t path_length            # of the whole target, though at most PATH_BYTES are kept
    uint8_t address[16]             # IPv6, or IPv4 mapped into it
    uint32_t flags
    uint32_t tokens_in
    uint32_t tokens_out
    uint8_t spare[4]
    int64_t cost_sum                # nanos that this worker's calls have cost, this one included
    char path[96]
    uint32_t tag                    # the key record that it is + 1; 0: none
    uint16_t model                  # its number; 0: none
    uint16_t unused
    uint32_t tokens_cached          # of those in
    uint32_t tokens_reasoning       # of those out
    uint8_t rest[16]

cdef struct open_t:                 # 320 bytes: a call in flight that is paid for as it goes
    record_t record                 # as it would be if it ended now; cost 0: the slot is empty
    uint32_t kinds                  # what it holds from, as in journal_t
    uint32_t place[HOLDS]
    int64_t tokens                  # that it has used of quotas
    uint64_t following              # the next empty slot, + 1; 0: none
    uint64_t spare[2]

cdef struct segment_t:
    char* base
    header_t* header
    worker_t* workers
    name_t* routes
    name_t* plans
    limit_t* limits
    uint64_t* index                 # power of two slots: tag << 32 | key + 1
    uint64_t index_mask
    key_t* keys
    key_tokens_t* key_tokens
    account_t* accounts
    uint64_t* account_tats          # buckets of the plans' rates
    account_tokens_t* account_tokens
    cell_t* cells                   # [keeper, then worker][account]
    uint8_t* dirty                  # [worker][account // DIRTY_ACCOUNTS]: something was captured there
    uint64_t dirty_stride
    uint64_t* buckets               # [route][key]
    uint64_t* counters              # [worker][route][code]; route 0 is "no route"
    uint64_t* histograms            # [worker][stage][bucket]
    model_name_t* models            # that of number n at n - 1
    model_count_t* model_counts     # [worker][model number - 1]
    scope_t* scopes
    char* journals
    uint64_t journal_stride
    open_t* opens                   # [worker][OPENS_MAX]
    uint64_t size


cdef inline uint64_t _page(uint64_t size) noexcept nogil:
    return (size + 4095) & ~(<uint64_t>4095)


cdef inline void layout_map(segment_t* s, char* base, uint64_t keys_max, uint64_t accounts_max, uint64_t routes_max,
                            uint64_t journal_records) noexcept nogil:
    """Fill in every address (relative to `base`, which may be NULL to learn the size) and the size in bytes."""
    cdef uint64_t slots = 64
    cdef uint64_t at = 4096
    while slots < 2 * keys_max:
        slots *= 2
    s.base = base
    s.header = <header_t*>base
    s.workers = <worker_t*>(base + at)
    at += _page(WORKERS_MAX * sizeof(worker_t))
    s.routes = <name_t*>(base + at)
    at += _page(routes_max * sizeof(name_t))
    s.plans = <name_t*>(base + at)
    at += _page(PLANS_MAX * sizeof(name_t))
    s.limits = <limit_t*>(base + at)
    at += _page(LIMITS_MAX * sizeof(limit_t))
    s.index = <uint64_t*>(base + at)
    s.index_mask = slots - 1
    at += _page(slots * sizeof(uint64_t))
    s.keys = <key_t*>(base + at)
    at += _page(keys_max * sizeof(key_t))
    s.key_tokens = <key_tokens_t*>(base + at)
    at += _page(keys_max * sizeof(key_tokens_t))
    s.accounts = <account_t*>(base + at)
    at += _page(accounts_max * sizeof(account_t))
    s.account_tats = <uint64_t*>(base + at)
    at += _page(accounts_max * sizeof(uint64_t))
    s.account_tokens = <account_tokens_t*>(base + at)
    at += _page(accounts_max * sizeof(account_tokens_t))
    s.cells = <cell_t*>(base + at)
    at += _page((1 + WORKERS_MAX) * accounts_max * sizeof(cell_t))
    s.dirty = <uint8_t*>(base + at)
    s.dirty_stride = (accounts_max // DIRTY_ACCOUNTS + 64) & ~(<uint64_t>63)
    at += _page(WORKERS_MAX * s.dirty_stride)
    s.buckets = <uint64_t*>(base + at)
    at += _page(routes_max * keys_max * sizeof(uint64_t))
    s.counters = <uint64_t*>(base + at)
    at += _page(WORKERS_MAX * (routes_max + 1) * CODES_MAX * sizeof(uint64_t))
    s.histograms = <uint64_t*>(base + at)
    at += _page(WORKERS_MAX * STAGES * LATENCY_BUCKETS * sizeof(uint64_t))
    s.models = <model_name_t*>(base + at)
    at += _page(MODELS_MAX * sizeof(model_name_t))
    s.model_counts = <model_count_t*>(base + at)
    at += _page(WORKERS_MAX * MODELS_MAX * sizeof(model_count_t))
    s.scopes = <scope_t*>(base + at)
    at += _page(SCOPES_MAX * sizeof(scope_t))
    s.journals = base + at
    s.journal_stride = _page(sizeof(journal_t) + journal_records * sizeof(record_t))
    at += WORKERS_MAX * s.journal_stride
    s.opens = <open_t*>(base + at)
    at += _page(WORKERS_MAX * OPENS_MAX * sizeof(open_t))
    s.size = at


cdef inline uint64_t* layout_counters(const segment_t* s, int worker, uint64_t route) noexcept nogil:
    """The counters of one worker for the route in slot `route` - 1, or for no route (0): CODES_MAX words."""
    return s.counters + (<uint64_t>worker * (s.header.routes_max + 1) + route) * CODES_MAX


cdef inline uint64_t* layout_histogram(const segment_t* s, int worker, int stage) noexcept nogil:
    return s.histograms + (worker * STAGES + stage) * LATENCY_BUCKETS


cdef inline model_count_t* layout_model(const segment_t* s, int worker, uint64_t number) noexcept nogil:
    """What `worker` has counted of the model of that number ≥ 1."""
    return s.model_counts + <uint64_t>worker * MODELS_MAX + number - 1


cdef inline cell_t* layout_cell(const segment_t* s, int worker, uint64_t account) noexcept nogil:
    """The cell of `worker`, or of the KEEPER; the next row's is `accounts_max` cells on."""
    return s.cells + <uint64_t>(worker + 1) * s.header.accounts_max + account


cdef inline int layout_rows(const segment_t* s) noexcept nogil:
    """Rows of cells in use: the keeper's and those of all workers that ever were."""
    return 1 + <int>load_u64(&s.header.workers)


cdef inline uint8_t* layout_dirty(const segment_t* s, int worker, uint64_t account) noexcept nogil:
    return s.dirty + <uint64_t>worker * s.dirty_stride + account // DIRTY_ACCOUNTS


cdef inline uint64_t key_state(uint32_t status, uint32_t budget) noexcept nogil:
    """The word of a key's status (low half) and its budget: meter index + 1, 0 for none (high half)."""
    return <uint64_t>budget << 32 | status


cdef inline uint32_t account_day(uint64_t quotas) noexcept nogil:
    """Of `account_t.quotas`: the index + 1 of the meter of calendar days; 0: none."""
    return <uint32_t>quotas


cdef inline uint32_t account_month(uint64_t quotas) noexcept nogil:
    """Of `account_t.quotas`: the index + 1 of the meter of calendar months; 0: none."""
    return <uint32_t>(quotas >> 32)


cdef inline int64_t account_expires_s(uint64_t terms) noexcept nogil:
    """Of `account_t.terms`: Unix time at which a subscription or a meter's window ends; 0: never."""
    return <int64_t>(terms & ((<uint64_t>1 << 40) - 1))


cdef inline uint32_t account_plan(uint64_t terms) noexcept nogil:
    """Of `account_t.terms`: the slot of the plan, 1 …; 0: none."""
    return <uint32_t>(terms >> 40)


cdef inline journal_t* layout_journal(const segment_t* s, int worker) noexcept nogil:
    return <journal_t*>(s.journals + <uint64_t>worker * s.journal_stride)


cdef inline open_t* layout_open(const segment_t* s, int worker, uint64_t slot) noexcept nogil:
    return s.opens + <uint64_t>worker * OPENS_MAX + slot


cdef inline void layout_claim(const segment_t* s, int worker) noexcept nogil:
    """Note that the slot of `worker` is in use, whoever else does the same: from then on its cells count."""
    cdef uint64_t slots = load_u64(&s.header.workers)
    while slots <= <uint64_t>worker:
        if cas_u64(&s.header.workers, &slots, <uint64_t>worker + 1):
            return
