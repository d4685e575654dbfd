-- Activities: sealed, append-only segments. One row is one accepted delivery of one grant, whatever its size.
-- Plain here are only sizes and times (docs/threat-model.md); kinds, ids and contents are inside `sealed`.
CREATE TABLE segment (
    pod_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,                  -- the pod's feed sequence; shared with feed_change
    grant_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,                -- key epoch of the grant under which it is sealed and marked
    ordinal BIGINT NOT NULL,              -- 1, 2, 3 … within the grant; authenticated as the envelope's version
    received BIGINT NOT NULL,             -- microseconds since 1970
    received_day BIGINT NOT NULL,         -- days since 1970, UTC
    first_day BIGINT NOT NULL,            -- the day the earliest activity starts
    last_day BIGINT NOT NULL,             -- the day the latest activity ends
    records BIGINT NOT NULL,
    corrections BIGINT NOT NULL,          -- how many of them replace an earlier record
    log_index BIGINT NOT NULL,            -- the leaf that commits to this segment
    first_ordinal BIGINT NOT NULL DEFAULT 0, -- of a pack: the first of the deliveries merged in this row; 0: one delivery
    marks BLOB NOT NULL,                  -- 12 bytes a record: keyed hash of its id (8), keyed hash of its content (4)
    sealed BLOB NOT NULL
);
CREATE UNIQUE INDEX segment_by_seq ON segment (pod_id, seq);
CREATE UNIQUE INDEX segment_by_grant ON segment (pod_id, grant_id, ordinal);
-- What may be packed next: the ends of whole blocks of small deliveries, and of whole blocks of small packs.
CREATE INDEX IF NOT EXISTS segment_to_pack ON segment (pod_id, grant_id, ordinal)
    WHERE first_ordinal = 0 AND (ordinal & 31) = 0 AND records <= 62;
CREATE INDEX IF NOT EXISTS segment_pack_to_pack ON segment (pod_id, grant_id, ordinal)
    WHERE first_ordinal = ordinal - 31 AND (ordinal & 1023) = 0 AND records <= 62;

-- The feed: the durable list of what changed in a pod. `head` grows with each change, `cursor` with each the agent has
-- taken into its sums; a pod with work is one where they differ.
CREATE TABLE feed (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    head BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    waiting_since BIGINT NOT NULL,        -- when work first waited; real microseconds since 1970
    claimed_by TEXT NOT NULL,             -- the worker that has the pod, or ''
    claimed_until BIGINT NOT NULL         -- real microseconds since 1970; past: free again
);
CREATE INDEX feed_with_work ON feed (waiting_since) WHERE head > cursor;

-- Changes other than new segments: a grant's state, a household, an erasure.
CREATE TABLE feed_change (
    pod_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    subject TEXT NOT NULL,                -- 'grant' | 'household' | 'erasure' | 'document' | 'proposal' | 'rectification'
    grant_id TEXT NOT NULL,               -- or ''
    PRIMARY KEY (pod_id, seq)
);

-- What the citizen said of an activity (not mine, wrong) and what became of it; goes with its grant.
CREATE TABLE IF NOT EXISTS rectification (
    pod_id BIGINT NOT NULL,
    rectification_id TEXT NOT NULL,       -- random
    grant_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    epoch BIGINT NOT NULL,                -- of the grant's key
    created BIGINT NOT NULL,              -- microseconds since 1970, city's time
    sealed BLOB NOT NULL,                 -- which activity, what was said, the trail
    PRIMARY KEY (pod_id, rectification_id)
);
