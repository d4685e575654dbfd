-- Research releases. No row here holds a citizen's figure: what is published is noisy already, and the ledger holds
-- amounts of privacy budget only.

-- The account of the privacy budget: append-only, each entry chained to the one before. Written, durably, before any
-- noise is drawn for it.
CREATE TABLE privacy_budget_entry (
    entry_index BIGINT NOT NULL PRIMARY KEY,     -- 0, 1, 2 …
    content BLOB NOT NULL,                       -- canonical JSON: period, measure, rho, delta, bounds, at
    previous_hash BLOB NOT NULL,                 -- 32 bytes; zeros for the first
    hash BLOB NOT NULL                           -- SHA-256(previous_hash || content)
);

-- One release a period, for ever. A period whose entry is in the account but whose release is not here was interrupted:
-- its budget is spent, and it is not drawn again.
CREATE TABLE research_release (
    period TEXT NOT NULL PRIMARY KEY,            -- 'YYYY-MM'
    entry_index BIGINT NOT NULL,                 -- in the account
    issued BIGINT NOT NULL,
    content_hash BLOB NOT NULL,                  -- SHA-256 of quads
    summary BLOB NOT NULL,                       -- JSON: observations, suppressed, participants' noisy count, rho …
    quads BLOB NOT NULL                          -- N-Triples, zstd
);

-- Who may query the releases. The token itself is kept nowhere.
CREATE TABLE research_invitation (
    token_hash BLOB NOT NULL PRIMARY KEY,        -- SHA-256
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

-- What was asked, by whom: defence in depth, not the guarantee. The query's text is cut at 4,000 characters.
CREATE TABLE research_query (
    asked BIGINT NOT NULL,
    token_hash BLOB NOT NULL,
    outcome TEXT NOT NULL,
    milliseconds BIGINT NOT NULL,
    query TEXT NOT NULL
);
CREATE INDEX research_query_by_time ON research_query (asked);
