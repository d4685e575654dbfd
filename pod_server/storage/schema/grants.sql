-- What the host must know of consents to enforce them, also while a pod is locked (docs/threat-model.md lists it).

-- Which pod a grant belongs to: partners name grants only.
CREATE TABLE grant_route (
  grant_id TEXT PRIMARY KEY,
  pod_id BIGINT NOT NULL
);

-- The enforcement row. `kinds` is a JSON object: kind -> finest interval. `terms` is the partner's copy of the agreed
-- terms, sealed for this host. Its state follows from consent_event and is never written without a row there.
CREATE TABLE consent (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  kinds TEXT NOT NULL,
  operations TEXT NOT NULL,
  history_from BIGINT NOT NULL,
  valid_to BIGINT,
  expires_at BIGINT NOT NULL,
  quota_per_day BIGINT,
  state TEXT NOT NULL,
  state_version BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  given_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  terms BLOB NOT NULL,
  erasure_pending BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (pod_id, grant_id)
);
CREATE INDEX consent_by_client ON consent (pod_id, client_id);
-- The agent looks for consents that have ended, end soon, or have not changed for long.
CREATE INDEX IF NOT EXISTS consent_by_end ON consent (state, expires_at);
CREATE INDEX IF NOT EXISTS consent_by_change ON consent (state, changed_at);

-- What happened to a grant: separate events, never written over.
CREATE TABLE consent_event (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  expires_at BIGINT,
  actor TEXT NOT NULL DEFAULT 'citizen',
  PRIMARY KEY (pod_id, grant_id, sequence)
);

-- The signed receipt of each event, sealed for this host as the terms are. `filed` is 1 once the citizen's own copy
-- lies in the pod, which waits where the pod is locked.
CREATE TABLE consent_receipt (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  filed BIGINT NOT NULL,
  receipt BLOB NOT NULL,
  PRIMARY KEY (pod_id, grant_id, sequence)
);
CREATE INDEX consent_receipt_waiting ON consent_receipt (filed, pod_id);

-- The exact texts that citizens were shown, by their SHA-256: a partner's question in words, nothing about a citizen.
CREATE TABLE consent_notice (
  notice_hash TEXT PRIMARY KEY,
  version TEXT NOT NULL,
  notice TEXT NOT NULL,
  first_answered BIGINT NOT NULL
);

-- How much was delivered and how often was read, a row a grant and day (days since 1970, UTC).
CREATE TABLE consent_use (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  day BIGINT NOT NULL,
  accepted BIGINT NOT NULL,
  duplicates BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  reads BIGINT NOT NULL DEFAULT 0,
  last_read_at BIGINT,
  PRIMARY KEY (pod_id, grant_id, day)
);

-- What a citizen was told of a consent that ends soon or lies unused, a row a grant: told once for each state, and
-- looked at again at `look_again`. A row without `about` says that there was nothing to tell.
CREATE TABLE consent_reminder (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  state_version BIGINT NOT NULL,
  about TEXT NOT NULL,
  since BIGINT NOT NULL,
  told_at BIGINT NOT NULL,
  look_again BIGINT NOT NULL,
  answered BIGINT NOT NULL,
  PRIMARY KEY (pod_id, grant_id)
);

-- What the twin may do: standing acts from the pod's creation on, and single acts that the citizen approved.
CREATE TABLE mandate (
  pod_id BIGINT NOT NULL,
  mandate_id TEXT NOT NULL,
  act TEXT NOT NULL,
  about TEXT NOT NULL,
  given_at BIGINT NOT NULL,
  expires_at BIGINT,
  used_at BIGINT,
  PRIMARY KEY (pod_id, mandate_id)
);

-- Partners: public facts about organisations, nothing about citizens.
CREATE TABLE partner (
  client_id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  jwks TEXT NOT NULL,
  redirect_uris TEXT NOT NULL,
  webhook TEXT,
  about TEXT NOT NULL,
  state TEXT NOT NULL,                -- applied | active | suspended | refused | removed
  added_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',    -- what the municipality said when it suspended or refused it
  stopped_at BIGINT,                  -- since when it has stopped itself
  limits TEXT NOT NULL DEFAULT '{}',
  sandbox BIGINT                      -- the number of its sandbox citizen's pod
);

-- Who may answer for whom. The authority itself (acts, dates, evidence, a child's birth) is sealed for the host.
CREATE TABLE IF NOT EXISTS representation (
  pod_id BIGINT NOT NULL,                 -- of the one who is represented
  representation_id TEXT NOT NULL,
  representative_pod BIGINT NOT NULL,
  source TEXT NOT NULL,                   -- `operator`, or the registry that says so
  state TEXT NOT NULL,                    -- `standing`, `ended`, or `settled`: ended, and nothing of it is left to answer
  told_age BIGINT NOT NULL,               -- the highest age at which both were told that something changed hands
  terms BLOB NOT NULL,
  PRIMARY KEY (pod_id, representation_id)
);

CREATE INDEX IF NOT EXISTS representation_by_representative ON representation (representative_pod);
