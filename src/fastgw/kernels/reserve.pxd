# Decides whether a call in flight may use so many tokens: by its key's limit, its plan's, and the quotas of day and
# month; all or none. What it has reserved too much is given back when it ends, and what it has used beyond is owed.
#
# As in claim.pxd one looks first, and takes then; and looks again, where others were faster.
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastgw.kernels.account cimport account_capture
from fastgw.kernels.atomics cimport load_u64
from fastgw.kernels.bucket cimport limit_t
from fastgw.kernels.claim cimport (
    CLAIM_GRANTED, CLAIM_TOKEN_QUOTA_EXHAUSTED, CLAIM_TOKENS_LIMITED, CLAIM_TOO_MANY_TOKENS, POLICY_KEY, POLICY_PLAN,
    claim_room, claim_t, policy_t, tariff_t,
)
from fastgw.kernels.journal cimport (
    HOLD_DAY_TOKENS, HOLD_MONTH_TOKENS, hold_kind_t, holds_add, holds_extend, holds_overdraw, holds_t,
)
from fastgw.kernels.layout cimport (
    account_day, account_expires_s, account_month, account_plan, account_tokens_t, key_tokens_t, layout_cell,
    layout_dirty, segment_t,
)
from fastgw.kernels.tokens cimport drawn_t, token_bucket_t, tokens_owe, tokens_return, tokens_take, tokens_wait_ns

cdef struct use_t:                  # what a call has reserved by limits; zeroed: nothing
    const limit_t* key_limit        # that it was reserved by; NULL: none
    const limit_t* plan_limit
    drawn_t key
    drawn_t plan


cdef inline int _look_at_bucket(claim_t* c, const limit_t* limit, uint64_t tat, uint64_t tokens,
                                policy_t policy) noexcept nogil:
    """What refuses: more than the limit ever gives is for good."""
    cdef uint64_t wait
    if tokens > limit.burst:
        c.quota = limit.burst
        return CLAIM_TOO_MANY_TOKENS
    wait = tokens_wait_ns(limit, tat, c.now_ns, tokens)
    if wait > c.wait_ns:
        c.wait_ns = wait
        c.violated = limit
        c.policy = policy
    return CLAIM_TOKENS_LIMITED if wait else CLAIM_GRANTED


cdef inline int _look_at_quota(const segment_t* s, claim_t* c, uint64_t meter, uint64_t quota, int64_t tokens,
                               bint monthly) noexcept nogil:
    cdef int64_t room = claim_room(&s.accounts[meter - 1])
    if room >= tokens:
        return CLAIM_GRANTED
    c.monthly = monthly
    c.quota = quota
    c.used = quota - <uint64_t>room
    c.at_s = account_expires_s(load_u64(&s.accounts[meter - 1].terms))
    return CLAIM_TOKEN_QUOTA_EXHAUSTED


cdef inline void _give_back(const segment_t* s, int worker, holds_t* h, const holds_t* more) noexcept nogil:
    """Undo `holds_extend`."""
    cdef uint64_t index
    cdef int kind
    for kind in range(<int>more.kinds):
        if more.place[kind]:
            index = more.place[kind] - 1
            account_capture(&s.accounts[index], layout_cell(s, worker, index), layout_dirty(s, worker, index),
                            more.held[kind], 0)
            h.held[kind] -= more.held[kind]


cdef inline void _draws_by(const limit_t** former, const limit_t* limit, drawn_t* d) noexcept nogil:
    """What was drawn by another limit, which was the key's or the plan's before, is that limit's."""
    if former[0] is not limit:
        former[0] = limit
        memset(d, 0, sizeof(drawn_t))


cdef inline int reserve_tokens(const segment_t* s, const tariff_t* t, claim_t* c, holds_t* h, use_t* u, int64_t tokens,
                               int worker) noexcept nogil:
    """Reserve `tokens` > 0 more for the call of the key `c.key` and the account `c.account`: CLAIM_GRANTED, or what
    refuses it, and then nothing has changed. A quota that the call holds from is the one that it goes on with."""
    cdef key_tokens_t* key = &s.key_tokens[c.key]
    cdef account_tokens_t* account = &s.account_tokens[c.account]
    cdef uint64_t number = load_u64(&key.limit)
    cdef uint64_t quotas = load_u64(&account.quotas)
    cdef uint64_t plan = account_plan(load_u64(&s.accounts[c.account].terms))
    cdef const limit_t* key_limit = &s.limits[number - 1] if number else NULL
    cdef const limit_t* plan_limit = NULL
    cdef uint64_t day = h.place[<int>HOLD_DAY_TOKENS]
    cdef uint64_t month = h.place[<int>HOLD_MONTH_TOKENS]
    cdef holds_t more
    cdef int verdict, other
    if plan < t.plans and t.plan[plan].tokens.scale:
        plan_limit = &t.plan[plan].tokens
    if quotas:
        day = day if day else account_day(quotas)
        month = month if month else account_month(quotas)
    if key_limit is NULL and plan_limit is NULL and day == 0 and month == 0:
        return CLAIM_GRANTED
    _draws_by(&u.key_limit, key_limit, &u.key)
    _draws_by(&u.plan_limit, plan_limit, &u.plan)
    memset(&more, 0, sizeof(holds_t))
    if day:
        holds_add(&more, HOLD_DAY_TOKENS, day - 1, tokens)
    if month:
        holds_add(&more, HOLD_MONTH_TOKENS, month - 1, tokens)
    while True:
        c.wait_ns = 0
        verdict = other = CLAIM_GRANTED
        if key_limit is not NULL:
            verdict = _look_at_bucket(c, key_limit, load_u64(&key.bucket.tat), tokens, POLICY_KEY)
        if plan_limit is not NULL and verdict != CLAIM_TOO_MANY_TOKENS:
            other = _look_at_bucket(c, plan_limit, load_u64(&account.bucket.tat), tokens, POLICY_PLAN)
        if verdict == CLAIM_TOO_MANY_TOKENS or other == CLAIM_TOO_MANY_TOKENS:
            return CLAIM_TOO_MANY_TOKENS
        if verdict or other:
            return CLAIM_TOKENS_LIMITED
        if day:
            verdict = _look_at_quota(s, c, day, t.plan[plan].day_tokens if plan < t.plans else 0, tokens, False)
        if month and _look_at_quota(s, c, month, t.plan[plan].month_tokens if plan < t.plans else 0, tokens, True):
            verdict = CLAIM_TOKEN_QUOTA_EXHAUSTED
        if verdict:
            return verdict
        if holds_extend(s, worker, h, &more) >= 0:
            continue
        if key_limit is not NULL and tokens_take(&key.bucket, key_limit, c.now_ns, tokens, &u.key):
            _give_back(s, worker, h, &more)
            continue
        if plan_limit is not NULL and tokens_take(&account.bucket, plan_limit, c.now_ns, tokens, &u.plan):
            if key_limit is not NULL:
                tokens_return(&key.bucket, key_limit, c.now_ns, &u.key, tokens)
            _give_back(s, worker, h, &more)
            continue
        return CLAIM_GRANTED


cdef inline void _correct_bucket(token_bucket_t* b, const limit_t* limit, uint64_t now_ns, drawn_t* d,
                                 int64_t used) noexcept nogil:
    if used < d.tokens:
        tokens_return(b, limit, now_ns, d, d.tokens - used)
    elif used > d.tokens:
        tokens_owe(b, limit, now_ns, <uint64_t>(used - d.tokens))


cdef inline void _correct_quota(const segment_t* s, int worker, holds_t* h, hold_kind_t kind, int64_t used,
                                int64_t* charges) noexcept nogil:
    if h.place[<int>kind]:
        if used > h.held[<int>kind]:
            holds_overdraw(s, worker, h, kind, used - h.held[<int>kind])
        charges[<int>kind] = used


cdef inline void reserve_correct(const segment_t* s, uint64_t key, uint64_t account, uint64_t now_ns, holds_t* h,
                                 use_t* u, int64_t used, int worker, int64_t* charges) noexcept nogil:
    """A call that has reserved something ends, and has used so many tokens: put its limits right, and say in `charges`
    what settling is to take of its quotas."""
    if u.key_limit is not NULL:
        _correct_bucket(&s.key_tokens[key].bucket, u.key_limit, now_ns, &u.key, used)
    if u.plan_limit is not NULL:
        _correct_bucket(&s.account_tokens[account].bucket, u.plan_limit, now_ns, &u.plan, used)
    _correct_quota(s, worker, h, HOLD_DAY_TOKENS, used, charges)
    _correct_quota(s, worker, h, HOLD_MONTH_TOKENS, used, charges)
