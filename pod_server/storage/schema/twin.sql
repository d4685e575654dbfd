-- What the twin made of a pod. Every value is sealed; sums of one partner's data lie under that grant's key.
CREATE TABLE partial (
    pod_id BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,                -- key epoch of the grant under which it is sealed
    month TEXT NOT NULL,                  -- 'YYYY-MM'
    version BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (pod_id, grant_id, month)
);

CREATE TABLE figures (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,                -- of the figures scope; a new one at each erasure
    version BIGINT NOT NULL,
    sealed BLOB NOT NULL
);

-- The last events of the pod (at most 300), for pages and streams. An event made from one grant's data is sealed under
-- that grant's key and goes with it.
CREATE TABLE twin_event (
    pod_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    grant_id TEXT NOT NULL,               -- or '' where the event has no single grant
    epoch BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (pod_id, seq)
);

CREATE TABLE twin_event_counter (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL
);

CREATE TABLE proposal (
    pod_id BIGINT NOT NULL,
    proposal_id TEXT NOT NULL,            -- random; says nothing of what is proposed
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    sealed BLOB NOT NULL,                 -- state, and what is proposed: the citizen's own
    epoch BIGINT NOT NULL DEFAULT 1,      -- of the citizen's own key
    figures_epoch BIGINT,                 -- of the figures key; 0 without figures; NULL: of before they lay apart
    figures BLOB,                         -- what it rests on; NULL where a partner was erased since
    PRIMARY KEY (pod_id, proposal_id)
);

-- What a calculation service answered that the citizen had asked. Sealed under the figures key, and that under the key of the
-- service's grant: the erasure of either side takes it along.
CREATE TABLE IF NOT EXISTS calculation (
    pod_id BIGINT NOT NULL,
    calculation_id TEXT NOT NULL,         -- random
    grant_id TEXT NOT NULL,               -- the service's
    created BIGINT NOT NULL,              -- microseconds since 1970, city's time
    epoch BIGINT NOT NULL,                -- of the grant's key
    figures_epoch BIGINT NOT NULL,        -- of the figures key
    sealed BLOB NOT NULL,
    PRIMARY KEY (pod_id, calculation_id)
);

-- In which challenges of a service the citizen takes part, by the consent for each one; goes with it.
CREATE TABLE IF NOT EXISTS participation (
    pod_id BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    epoch BIGINT NOT NULL,                -- of the grant's key
    sealed BLOB NOT NULL,                 -- which challenge, under which name there
    PRIMARY KEY (pod_id, grant_id)
);
