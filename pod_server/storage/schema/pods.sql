-- The pods of this host. Handles and districts are public; the citizen's name, language and household lie sealed.
CREATE TABLE pod (
    pod_id BIGINT NOT NULL PRIMARY KEY,   -- 63 random bits; immutable
    handle TEXT NOT NULL UNIQUE,          -- public, part of the pod's address
    created BIGINT NOT NULL,              -- microseconds since 1970, city's time
    state TEXT NOT NULL,                  -- 'open' (custodian slot present) | 'locked'
    area TEXT NOT NULL,                   -- public district code, or ''
    simulated BIGINT NOT NULL,            -- 1: a simulated neighbour, labelled as such wherever it is shown
    figures_epoch BIGINT NOT NULL,        -- of the figures key; grows at each erasure of a partner
    log_public_key BLOB NOT NULL,         -- HPKE key to which log events are sealed, also while the pod is locked
    own_epoch BIGINT NOT NULL DEFAULT 1,  -- of the citizen's own key; what is written now is sealed under it
    own_oldest_epoch BIGINT NOT NULL DEFAULT 1, -- documents and the like may still be sealed under epochs from this one on
    recovery_tried_at BIGINT              -- when its citizen tried the recovery code that holds now, real time; NULL: never
);

-- A deleted pod's handle is never given out again: old links must not lead to a stranger.
CREATE TABLE retired_handle (
    handle TEXT NOT NULL PRIMARY KEY,
    retired BIGINT NOT NULL,
    receipt TEXT,                         -- the signed receipt of the removal; NULL until it is finished
    moved_to TEXT NOT NULL DEFAULT ''     -- the root of the pod where it lives now, on another host; or ''
);

-- Pods that are being brought in from another host and are not here yet (transfer/arrival.py).
CREATE TABLE IF NOT EXISTS arriving_pod (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    begun BIGINT NOT NULL                 -- microseconds since 1970, real time
);

-- Who lives here: one sealed value a pod (name, language, household size, area, dwelling).
CREATE TABLE household (
    pod_id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 1       -- of the citizen's own key
);
