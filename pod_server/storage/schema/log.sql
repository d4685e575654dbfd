-- Each citizen's log: an RFC 6962 tree of sealed events (docs/vault-format.md, section 6).
-- The head: where the next leaf goes. Only hashes, and the key that events are sealed to.
CREATE TABLE log_tree (
    pod_id BIGINT PRIMARY KEY,
    log_id TEXT NOT NULL,
    public_key BLOB NOT NULL,
    size BIGINT NOT NULL,
    frontier BLOB NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 1,      -- of the log's key, whose public half is public_key
    key_number BIGINT NOT NULL DEFAULT 1  -- of the host's key of which a leaf tells that it signs (log_keys.py)
);

-- What each witness last said of a log: its cosignature of the tree of so many leaves, and whether it refuses the log
-- because it has seen another history.
CREATE TABLE IF NOT EXISTS log_cosignature (
    pod_id BIGINT NOT NULL,
    witness TEXT NOT NULL,                -- its name
    size BIGINT NOT NULL,                 -- 0: it never cosigned
    root BLOB NOT NULL,
    cosigned_at BIGINT NOT NULL,          -- microseconds since 1970, by the witness's clock
    line TEXT NOT NULL,                   -- the cosignature, as a signature line of the checkpoint
    asked_at BIGINT NOT NULL,
    refused TEXT NOT NULL,                -- '' | 'shorter' (it has seen more) | 'other' (it has seen others)
    refused_size BIGINT NOT NULL,         -- how many leaves it had seen then
    PRIMARY KEY (pod_id, witness)
);

-- The leaves: leaf_hash is SHA-256(0x00, commitment); the salted event commitment and the sealed event open it.
CREATE TABLE log_leaf (
    pod_id BIGINT NOT NULL,
    leaf_index BIGINT NOT NULL,
    leaf_hash BLOB NOT NULL,
    event_commitment BLOB NOT NULL,
    sealed BLOB NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 1,      -- of the log's key under which it is sealed
    sealed_hash BLOB,                     -- SHA-256 of the first sealed bytes, once the event was sealed again
    PRIMARY KEY (pod_id, leaf_index)
);
