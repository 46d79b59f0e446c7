-- Money is in nanos (1e-9 of the currency's unit), times are Unix seconds, except entry.at: nanoseconds.

CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    segment BLOB CHECK (segment IS NULL OR length(segment) = 16),  -- the identity of which positions and meters speak
    commits INTEGER NOT NULL CHECK (commits >= 0),                 -- grows with every transaction: was that one durable?
    drained INTEGER NOT NULL CHECK (drained IN (0, 1)),            -- the last keeper ended in order, with all captures
    losses INTEGER NOT NULL CHECK (losses >= 0),                   -- how often a segment was gone before it was drained
    lost_at INTEGER NOT NULL                                       -- when the last such segment was missed
) STRICT;
INSERT INTO state VALUES (1, NULL, 0, 1, 0, 0);

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63 AND instr(name, '/') = 0),
    origin TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    credit INTEGER NOT NULL CHECK (credit >= 0),
    plan TEXT NOT NULL,
    expires INTEGER NOT NULL CHECK (expires >= 0),                 -- of the subscription; 0: never
    created INTEGER NOT NULL,
    balance INTEGER NOT NULL DEFAULT 0,                            -- the sum of its entries, kept by a trigger
    opened INTEGER NOT NULL DEFAULT 0,                             -- of its 'opening' entries
    spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),           -- of its 'capture' entries, positive
    allowed INTEGER NOT NULL DEFAULT 0 CHECK (allowed >= 0)        -- end of the last month that got its allowance
) STRICT;
CREATE INDEX account_plan ON account (plan, allowed) WHERE plan <> '';

CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL,
    amount INTEGER NOT NULL,
    at INTEGER NOT NULL,
    expires INTEGER NOT NULL DEFAULT 0 CHECK (expires >= 0),
    reference TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    CHECK (
        CASE kind
            WHEN 'topup' THEN amount > 0
            WHEN 'allowance' THEN amount > 0
            WHEN 'capture' THEN amount < 0
            WHEN 'expiry' THEN amount < 0
            WHEN 'adjustment' THEN amount <> 0
            WHEN 'opening' THEN amount <> 0
            ELSE 0
        END
    ),
    CHECK (expires = 0 OR kind IN ('topup', 'allowance'))
) STRICT;
CREATE INDEX entry_account ON entry (account);

CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
BEGIN
    SELECT RAISE(ABORT, 'an entry is never changed');
END;
CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry
BEGIN
    SELECT RAISE(ABORT, 'an entry is never deleted');
END;
CREATE TRIGGER entry_counts AFTER INSERT ON entry
BEGIN
    UPDATE account
    SET balance = balance + NEW.amount,
        opened = opened + iif(NEW.kind = 'opening', NEW.amount, 0),
        spent = spent - iif(NEW.kind = 'capture', NEW.amount, 0)
    WHERE id = NEW.account;
END;

-- What is known of an account in the segment of state.segment.
CREATE TABLE position (
    account INTEGER PRIMARY KEY REFERENCES account (id),
    captured INTEGER NOT NULL,                                     -- by workers, cumulative
    entered INTEGER NOT NULL,                                      -- of it: what 'capture' entries hold already
    taken INTEGER NOT NULL CHECK (taken >= 0),                     -- by the keeper, cumulative
    CHECK (0 <= entered AND entered <= captured)
) STRICT;

-- Credit that expires: what is left of a top-up or an allowance as far as entries say.
CREATE TABLE lot (
    entry INTEGER PRIMARY KEY REFERENCES entry (id),
    account INTEGER NOT NULL REFERENCES account (id),
    rank INTEGER NOT NULL CHECK (rank IN (0, 1)),                  -- 0: an allowance, which is spent first
    expires INTEGER NOT NULL CHECK (expires > 0),
    unspent INTEGER NOT NULL CHECK (unspent >= 0)
) STRICT;
CREATE INDEX lot_account ON lot (account, rank, expires) WHERE unspent > 0;
CREATE INDEX lot_expires ON lot (expires) WHERE unspent > 0;

-- A counter beside the balance: a quota of an account, a budget of a key.
CREATE TABLE meter (
    kind TEXT NOT NULL CHECK (kind IN ('day', 'month', 'budget')),
    owner INTEGER NOT NULL,                                        -- the account, or the number in the key's id
    captured INTEGER NOT NULL CHECK (captured >= 0),               -- cumulative, in the segment of state.segment
    base INTEGER NOT NULL CHECK (base <= captured),                -- captured when the window began; the rest is used
    ends INTEGER NOT NULL CHECK (ends >= 0),                       -- of the window in which it was used; 0: never
    PRIMARY KEY (kind, owner)
) STRICT, WITHOUT ROWID;

-- Keys made through the API; those of the file are in the segment alone.
CREATE TABLE key (
    number INTEGER PRIMARY KEY,                                    -- first eight bytes of the digest, as in its id
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    hint TEXT NOT NULL CHECK (length(hint) <= 4),
    rate_count INTEGER NOT NULL CHECK (rate_count >= 0),           -- 0: no limit of its own
    rate_period_ns INTEGER NOT NULL,
    rate_burst INTEGER NOT NULL,
    budget INTEGER NOT NULL CHECK (budget >= 0),                   -- 0: none
    period TEXT NOT NULL CHECK (period IN ('', 'day', 'month')),
    meter INTEGER NOT NULL,                                        -- owner of its budget: the first key of a rotation
    expires INTEGER NOT NULL CHECK (expires >= 0),
    status TEXT NOT NULL CHECK (status IN ('active', 'revoked')),
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX key_account ON key (account);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
    response INTEGER NOT NULL REFERENCES entry (id),
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
