# Decides whether a call may be made now: its key, its account, every limit and quota, and the money; all or none.
#
# `claim_look` changes nothing and says what refuses; `claim_take` then takes everything, or nothing when others were
# faster, and one looks again. A dry run is the look alone, and so cannot find what a decision would not. What waiting
# does not mend is said before what it does: nobody is to wait for calls in flight and then hear that the money is gone.
# `claim_more` is for a call that is under way: whether it may go on, and the money for that.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastgw.kernels.account cimport HOLD_HELD, account_hold, account_t, account_why
from fastgw.kernels.atomics cimport likely, load_i64, load_u64, prefetch, unlikely
from fastgw.kernels.bucket cimport bucket_take, bucket_undo, bucket_wait_ns, limit_t
from fastgw.kernels.journal cimport (
    HOLD_ACCOUNT, HOLD_BUDGET, HOLD_DAY, HOLD_MONTH, HOLD_TAG, holds_add, holds_extend, holds_t, holds_take, holds_void,
)
from fastgw.kernels.layout cimport (
    ACCOUNT_ACTIVE, KEEPER, KEY_ACTIVE, account_day, account_expires_s, account_month, account_plan, key_t, layout_cell,
    layout_rows, segment_t,
)

cdef enum verdict_t:                # the numbers of refusals.py
    CLAIM_GRANTED = 0
    CLAIM_REVOKED_KEY = 5
    CLAIM_EXPIRED_KEY = 6
    CLAIM_INSUFFICIENT_BALANCE = 7
    CLAIM_BALANCE_HELD = 8
    CLAIM_RATE_LIMITED = 14
    CLAIM_ACCOUNT_SUSPENDED = 24
    CLAIM_SUBSCRIPTION_EXPIRED = 25
    CLAIM_QUOTA_EXHAUSTED = 26
    CLAIM_BUDGET_EXHAUSTED = 27
    CLAIM_LEDGER_UNAVAILABLE = 28
    CLAIM_TOKENS_LIMITED = 42
    CLAIM_TOKEN_QUOTA_EXHAUSTED = 43
    CLAIM_UNKNOWN_TAG = 44
    CLAIM_TAG_BUDGET_EXHAUSTED = 45
    CLAIM_TOO_MANY_TOKENS = 47

cdef enum policy_t:                 # whose limit it is
    POLICY_ROUTE = 0
    POLICY_KEY = 1
    POLICY_PLAN = 2

cdef struct plan_t:
    limit_t limit                   # of the account as a whole; scale 0: none
    limit_t tokens                  # the same in tokens
    uint64_t day_quota              # calls, as the plan has them: what counts is the meter
    uint64_t month_quota
    uint64_t day_tokens
    uint64_t month_tokens

cdef struct tariff_t:               # what a route asks of every call
    int64_t price                   # nanos, where the plan says nothing else
    limit_t limit                   # of each key; scale 0: none
    uint64_t* bucket                # of key 0
    const int64_t* plan_price       # by plan slot, -1: the route's; NULL: of every plan
    const plan_t* plan              # by plan slot
    uint32_t plans                  # slots in both

cdef struct claim_t:                # one call: who makes it, what it would take, and why it may not
    int64_t time_ns                 # Unix time; this and the next are for the caller to fill in
    uint64_t now_ns                 # since the segment's epoch
    uint64_t key
    uint64_t account
    uint64_t limit                  # number of the key's own; 0: none
    uint64_t budget                 # meters: index + 1; 0: none
    uint64_t tag                    # that of the tag's budget
    uint64_t day
    uint64_t month
    uint64_t plan                   # slot; 0: none
    const limit_t* plan_limit       # NULL: none
    int64_t price
    # of a refusal
    const limit_t* violated         # the limit that takes longest to have room, whose it is, and how long it takes
    int policy
    bint monthly                    # the quota is the month's
    uint64_t wait_ns
    int64_t available               # nanos
    int64_t at_s                    # when it resets, or when it expired; 0: never
    uint64_t quota                  # calls or tokens
    uint64_t used


cdef inline bint _is_over(const claim_t* c, int64_t at_s) noexcept nogil:
    return <int64_t>(<uint64_t>c.time_ns // <uint64_t>1000000000) >= at_s


cdef inline int _look_at_key(const claim_t* c, const key_t* key, uint64_t state) noexcept nogil:
    cdef int64_t expires_s
    if unlikely(<uint32_t>state != KEY_ACTIVE):
        return CLAIM_REVOKED_KEY
    expires_s = load_i64(&key.expires_s)
    if unlikely(expires_s != 0) and _is_over(c, expires_s):
        return CLAIM_EXPIRED_KEY
    return CLAIM_GRANTED


cdef inline int claim_tag(const segment_t* s, uint64_t index, claim_t* c) noexcept nogil:
    """Note the tag that is the key record at `index`; CLAIM_GRANTED, or CLAIM_UNKNOWN_TAG where it is no more."""
    cdef const key_t* tag = &s.keys[index]
    cdef uint64_t state = load_u64(&tag.state)
    c.tag = state >> 32
    return CLAIM_UNKNOWN_TAG if _look_at_key(c, tag, state) else CLAIM_GRANTED


cdef inline int claim_key(const segment_t* s, const tariff_t* t, uint64_t index, claim_t* c) noexcept nogil:
    """Note whose key it is; CLAIM_GRANTED or what refuses the key itself."""
    cdef const key_t* key = &s.keys[index]
    cdef uint64_t both = load_u64(<const uint64_t*>&key.account)
    cdef uint64_t state = load_u64(&key.state)
    c.key = index
    c.account = <uint32_t>both
    c.limit = both >> 32
    c.budget = state >> 32
    c.tag = 0
    prefetch(&s.accounts[c.account])
    prefetch(&t.bucket[index])
    return _look_at_key(c, key, state)


cdef inline int64_t claim_room(const account_t* account) noexcept nogil:
    """What can be held now: nanos of an account or a budget, calls of a quota. Below 0: more is gone than was given."""
    return load_i64(&account.granted) + load_i64(&account.credit) - load_i64(&account.committed)


cdef inline bint _only_held(const segment_t* s, uint64_t index, int64_t cost) noexcept nogil:
    """Whether calls in flight alone keep `cost` from being there."""
    return account_why(&s.accounts[index], layout_cell(s, KEEPER, index), s.header.accounts_max, layout_rows(s),
                       cost) == HOLD_HELD


cdef inline bint _has_ended(claim_t* c, uint64_t terms) noexcept nogil:
    """Whether the subscription has."""
    cdef int64_t expires_s = account_expires_s(terms)
    if expires_s and _is_over(c, expires_s):
        c.at_s = expires_s
        return True
    return False


cdef inline int _look_at_terms(const tariff_t* t, claim_t* c, uint64_t terms) noexcept nogil:
    """The subscription's end, and what the plan changes."""
    cdef uint64_t plan = account_plan(terms)
    if _has_ended(c, terms):
        return CLAIM_SUBSCRIPTION_EXPIRED
    if plan < t.plans:
        c.plan = plan
        if t.plan_price is not NULL and t.plan_price[plan] >= 0:
            c.price = t.plan_price[plan]
        if t.plan[plan].limit.scale:
            c.plan_limit = &t.plan[plan].limit
    return CLAIM_GRANTED


cdef inline void _look_at_limit(claim_t* c, const limit_t* limit, uint64_t tat, policy_t policy) noexcept nogil:
    cdef uint64_t wait = bucket_wait_ns(limit, tat, c.now_ns)
    if unlikely(wait > c.wait_ns):
        c.wait_ns = wait
        c.violated = limit
        c.policy = policy


cdef inline int _look_at_quota(const segment_t* s, claim_t* c, uint64_t meter, uint64_t quota,
                               bint monthly) noexcept nogil:
    cdef int64_t room = claim_room(&s.accounts[meter - 1])
    if room > 0:
        return CLAIM_GRANTED
    c.monthly = monthly
    c.quota = quota
    c.used = quota + <uint64_t>(-room)
    c.at_s = account_expires_s(load_u64(&s.accounts[meter - 1].terms))
    return CLAIM_QUOTA_EXHAUSTED


cdef inline int _look_at_quotas(const segment_t* s, const tariff_t* t, claim_t* c, uint64_t quotas) noexcept nogil:
    """The day's and the month's; where both are used up, it is the month's that one has to wait for."""
    cdef int verdict = CLAIM_GRANTED
    c.day = account_day(quotas)
    c.month = account_month(quotas)
    if c.day:
        verdict = _look_at_quota(s, c, c.day, t.plan[c.plan].day_quota, False)
    if c.month and _look_at_quota(s, c, c.month, t.plan[c.plan].month_quota, True):
        verdict = CLAIM_QUOTA_EXHAUSTED
    return verdict


cdef inline bint _is_short(const segment_t* s, claim_t* c, uint64_t meter, int64_t held) noexcept nogil:
    """Whether a budget does not cover the call, and not only for the calls in flight; `available` is what it has."""
    c.available = claim_room(&s.accounts[meter])
    if c.available >= c.price or _only_held(s, meter, held + c.price):
        return False
    c.at_s = account_expires_s(load_u64(&s.accounts[meter].terms))
    return True


cdef inline int _look_at_money(const segment_t* s, claim_t* c, int64_t held) noexcept nogil:
    """The key's and the tag's budget and the account, one of which may be short: by how much, and until when. What the
    call itself holds already, `held` of each, is no money that others keep from it."""
    cdef int64_t room = claim_room(&s.accounts[c.account])
    cdef int64_t least = room
    if c.budget:
        if _is_short(s, c, c.budget - 1, held):
            return CLAIM_BUDGET_EXHAUSTED
        least = c.available
    if c.tag:
        if _is_short(s, c, c.tag - 1, held):
            return CLAIM_TAG_BUDGET_EXHAUSTED
        if c.available < least:
            least = c.available
    c.available = least
    if room < c.price and not _only_held(s, c.account, held + c.price):
        c.available = room
        return CLAIM_INSUFFICIENT_BALANCE
    if room < c.available:
        c.available = room
    return CLAIM_BALANCE_HELD if c.available < c.price else CLAIM_GRANTED


cdef inline int claim_look(const segment_t* s, const tariff_t* t, claim_t* c) noexcept nogil:
    """What the call of the key noted by `claim_key` would take; CLAIM_GRANTED, or what refuses it now."""
    cdef const account_t* account = &s.accounts[c.account]
    cdef uint64_t terms = load_u64(&account.terms)
    cdef uint64_t quotas = load_u64(&account.quotas)
    c.price = t.price
    c.plan = 0
    c.plan_limit = NULL
    c.day = 0
    c.month = 0
    c.wait_ns = 0
    if unlikely(<uint32_t>load_u64(&account.status) != ACCOUNT_ACTIVE):
        return CLAIM_ACCOUNT_SUSPENDED
    if unlikely(terms != 0) and _look_at_terms(t, c, terms):
        return CLAIM_SUBSCRIPTION_EXPIRED
    if t.limit.scale:
        _look_at_limit(c, &t.limit, load_u64(&t.bucket[c.key]), POLICY_ROUTE)
    if c.limit:
        _look_at_limit(c, &s.limits[c.limit - 1], load_u64(&s.keys[c.key].tat), POLICY_KEY)
    if unlikely(c.plan_limit is not NULL):
        _look_at_limit(c, c.plan_limit, load_u64(&s.account_tats[c.account]), POLICY_PLAN)
    if unlikely(c.wait_ns != 0):
        return CLAIM_RATE_LIMITED
    if unlikely(quotas != 0) and _look_at_quotas(s, t, c, quotas):
        return CLAIM_QUOTA_EXHAUSTED
    if c.price:
        if unlikely(load_u64(&s.header.money_stopped) != 0):
            return CLAIM_LEDGER_UNAVAILABLE
        if unlikely((c.budget | c.tag) != 0) or unlikely(claim_room(account) < c.price):
            return _look_at_money(s, c, 0)
    return CLAIM_GRANTED


cdef inline void claim_nothing(claim_t* c) noexcept nogil:
    """The claim of a call that takes nothing."""
    c.price = 0
    c.budget = 0
    c.tag = 0
    c.day = 0
    c.month = 0


cdef inline void claim_holds(const claim_t* c, holds_t* h) noexcept nogil:
    """Write what the claim holds into `h`, which is zeroed."""
    if c.price:
        holds_add(h, HOLD_ACCOUNT, c.account, c.price)
    if likely((c.budget | c.tag | c.day | c.month) == 0):
        return
    if c.price and c.budget:
        holds_add(h, HOLD_BUDGET, c.budget - 1, c.price)
    if c.price and c.tag:
        holds_add(h, HOLD_TAG, c.tag - 1, c.price)
    if c.day:
        holds_add(h, HOLD_DAY, c.day - 1, 1)
    if c.month:
        holds_add(h, HOLD_MONTH, c.month - 1, 1)


cdef inline bint _hold(const segment_t* s, const claim_t* c, int worker) noexcept nogil:
    """Hold the money and the calls of the quotas, all or none."""
    cdef holds_t h
    if likely((c.budget | c.tag | c.day | c.month) == 0):
        return c.price == 0 or account_hold(&s.accounts[c.account], layout_cell(s, worker, c.account), c.price)
    memset(&h, 0, sizeof(holds_t))
    claim_holds(c, &h)
    return holds_take(s, worker, &h) < 0


cdef inline void _void(const segment_t* s, const claim_t* c, int worker) noexcept nogil:
    cdef holds_t h
    memset(&h, 0, sizeof(holds_t))
    claim_holds(c, &h)
    holds_void(s, worker, &h)


cdef inline bint claim_take(const segment_t* s, const tariff_t* t, const claim_t* c, int worker) noexcept nogil:
    """Take what `claim_look` has found to be there: hold the money and the calls, take from every bucket.

    False: somebody was faster, and nothing is taken; look again. (A call that a bucket gave just before the next one
    would not is given back unless others have taken from it since, as `bucket_undo` says.)
    """
    cdef uint64_t before = 0
    cdef uint64_t after = 0
    cdef uint64_t key_before = 0
    cdef uint64_t key_after = 0
    cdef uint64_t ignored
    cdef bint fits = True
    if not _hold(s, c, worker):
        return False
    if t.limit.scale:
        fits = bucket_take(&t.bucket[c.key], &t.limit, c.now_ns, &before, &after) == 0
    if fits and c.limit:
        fits = bucket_take(&s.keys[c.key].tat, &s.limits[c.limit - 1], c.now_ns, &key_before, &key_after) == 0
        if not fits and t.limit.scale:
            bucket_undo(&t.bucket[c.key], before, after)
    if fits and unlikely(c.plan_limit is not NULL):
        fits = bucket_take(&s.account_tats[c.account], c.plan_limit, c.now_ns, &ignored, &ignored) == 0
        if not fits and c.limit:
            bucket_undo(&s.keys[c.key].tat, key_before, key_after)
        if not fits and t.limit.scale:
            bucket_undo(&t.bucket[c.key], before, after)
    if unlikely(not fits):
        _void(s, c, worker)
    return fits


cdef inline int _look_at_holder(const segment_t* s, claim_t* c, const holds_t* h, uint64_t tag) noexcept nogil:
    """Note the budgets from which a call in flight holds more, if its key and its tag may still be used."""
    cdef const key_t* key = &s.keys[c.key]
    cdef uint64_t state = load_u64(&key.state)
    cdef int verdict = _look_at_key(c, key, state)
    c.budget = state >> 32
    c.tag = 0
    if unlikely(tag != 0) and verdict == CLAIM_GRANTED:
        verdict = claim_tag(s, tag - 1, c)
    if h.place[<int>HOLD_ACCOUNT]:
        c.budget = h.place[<int>HOLD_BUDGET]
        c.tag = h.place[<int>HOLD_TAG]
    return verdict


cdef inline int64_t claim_room_for(const segment_t* s, claim_t* c, const holds_t* h, uint64_t tag) noexcept nogil:
    """The most that `claim_more` could hold now for the call: the least room of all that it holds from; not above 0
    where its key or its tag may not be used any more."""
    cdef int64_t room = claim_room(&s.accounts[c.account])
    if _look_at_holder(s, c, h, tag):
        return 0
    if c.budget:
        room = min(room, claim_room(&s.accounts[c.budget - 1]))
    if c.tag:
        room = min(room, claim_room(&s.accounts[c.tag - 1]))
    return room


cdef inline int claim_more(const segment_t* s, claim_t* c, holds_t* h, uint64_t tag, int worker) noexcept nogil:
    """Hold `c.price` nanos (0: none) more for the call in flight of the key `c.key` and the account `c.account`, which
    holds `h`; CLAIM_GRANTED, or what refuses it, and then `h` is as it was.

    Key, account and tag (`tag`: its key record + 1, 0: none) must be as good as at admission; limits and quotas count
    calls, and this is no other one. A call stays with the budgets that it began to hold from, and has its key's and its
    tag's of now where it has held no money yet.
    """
    cdef const account_t* account = &s.accounts[c.account]
    cdef holds_t more
    cdef int verdict = _look_at_holder(s, c, h, tag)
    if verdict:
        return verdict
    if unlikely(<uint32_t>load_u64(&account.status) != ACCOUNT_ACTIVE):
        return CLAIM_ACCOUNT_SUSPENDED
    if unlikely(_has_ended(c, load_u64(&account.terms))):
        return CLAIM_SUBSCRIPTION_EXPIRED
    if c.price == 0:
        return CLAIM_GRANTED
    if unlikely(load_u64(&s.header.money_stopped) != 0):
        return CLAIM_LEDGER_UNAVAILABLE
    memset(&more, 0, sizeof(holds_t))
    claim_holds(c, &more)
    while True:
        if unlikely((c.budget | c.tag) != 0) or unlikely(claim_room(account) < c.price):
            verdict = _look_at_money(s, c, h.held[<int>HOLD_ACCOUNT])
            if verdict:
                return verdict
        if holds_extend(s, worker, h, &more) < 0:
            return CLAIM_GRANTED
