-- Limits in tokens of models, and tags: what a call may be counted and limited by beside its key.

CREATE TABLE meter_now (
    kind TEXT NOT NULL CHECK (kind IN ('day', 'month', 'budget', 'day_tokens', 'month_tokens', 'tag')),
    owner INTEGER NOT NULL,                                        -- the account, or the number of the key or the tag
    captured INTEGER NOT NULL CHECK (captured >= 0),               -- cumulative, in the segment of state.segment
    base INTEGER NOT NULL CHECK (base <= captured),                -- captured when the window began; the rest is used
    ends INTEGER NOT NULL CHECK (ends >= 0),                       -- of the window in which it was used; 0: never
    PRIMARY KEY (kind, owner)
) STRICT, WITHOUT ROWID;
INSERT INTO meter_now SELECT kind, owner, captured, base, ends FROM meter;
DROP TABLE meter;
ALTER TABLE meter_now RENAME TO meter;

ALTER TABLE key ADD COLUMN token_count INTEGER NOT NULL DEFAULT 0 CHECK (token_count >= 0);  -- 0: no limit in tokens
ALTER TABLE key ADD COLUMN token_period_ns INTEGER NOT NULL DEFAULT 0;

-- What an account gives to a tag that is not known yet; 0: such a tag is refused.
ALTER TABLE account ADD COLUMN tag_budget INTEGER NOT NULL DEFAULT 0 CHECK (tag_budget >= 0);
ALTER TABLE account ADD COLUMN tag_period TEXT NOT NULL DEFAULT '' CHECK (tag_period IN ('', 'day', 'month'));
ALTER TABLE account ADD COLUMN tags_max INTEGER NOT NULL DEFAULT 1000 CHECK (tags_max >= 0);

CREATE TABLE tag (
    number INTEGER PRIMARY KEY,                                    -- first eight bytes of the digest
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    origin TEXT NOT NULL CHECK (origin IN ('file', 'api', 'call')),  -- declared, made by hand, made at its first use
    budget INTEGER NOT NULL CHECK (budget >= 0),                   -- 0: none
    period TEXT NOT NULL CHECK (period IN ('', 'day', 'month')),
    expires INTEGER NOT NULL CHECK (expires >= 0),
    status TEXT NOT NULL CHECK (status IN ('active', 'removed')),
    created INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;
