-- What the vault needs of the database: history that is being sealed anew, and what waits for a locked pod.

-- A pod got new keys, and its history is sealed anew under them: the intent, and how far it is. `finished` is when the
-- last row was; the old epochs' keys are destroyed some days later, so that a backup of the data can still be read.
CREATE TABLE IF NOT EXISTS resealing (
  pod_id BIGINT NOT NULL PRIMARY KEY,
  began BIGINT NOT NULL,               -- microseconds since 1970, city's time
  total BIGINT NOT NULL,               -- rows to seal anew when it began
  done BIGINT NOT NULL,
  finished BIGINT
);
CREATE INDEX IF NOT EXISTS resealing_finished ON resealing (finished);

-- To which key others seal what they deliver under a grant. `statement` is signed by the citizen's own key for this
-- grant, so that nobody can put in another inbox key.
CREATE TABLE IF NOT EXISTS grant_inbox (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  public_key BLOB NOT NULL,
  statement TEXT NOT NULL,
  waiting_records BIGINT NOT NULL DEFAULT 0,   -- of the deliveries that wait below
  waiting_bytes BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (pod_id, grant_id)
);

-- Accepted deliveries that wait until the citizen opens the pod, in their order, each sealed to its grant's inbox.
CREATE TABLE IF NOT EXISTS pending_delivery (
  pod_id BIGINT NOT NULL,
  arrival BIGINT NOT NULL,             -- 1, 2, 3 ... within the pod
  grant_id TEXT NOT NULL,
  epoch BIGINT NOT NULL,               -- of the inbox key it is sealed to
  form TEXT NOT NULL,                  -- 'host': checked here and sealed by this host | 'partner': sealed by the partner
  number BIGINT NOT NULL,              -- form host: the ordinal it will have as a segment; form partner: its sequence
  received BIGINT NOT NULL,            -- microseconds since 1970, city's time
  first_day BIGINT NOT NULL,           -- as in segment; 0 where the host cannot know
  last_day BIGINT NOT NULL,
  records BIGINT NOT NULL,
  corrections BIGINT NOT NULL,
  log_index BIGINT NOT NULL,           -- the leaf that commits to the sealed bytes
  unreadable BIGINT NOT NULL DEFAULT 0, -- 1: it did not open at a merge, and is kept aside
  marks BLOB NOT NULL,                 -- form host: as in segment
  sealed BLOB NOT NULL,
  PRIMARY KEY (pod_id, arrival)
);
CREATE INDEX IF NOT EXISTS pending_delivery_of_grant ON pending_delivery (pod_id, grant_id, form, number);

-- Every delivery that a partner sealed itself, and what became of it: the same one again is recognised.
CREATE TABLE IF NOT EXISTS sealed_delivery (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,            -- the partner's own count, growing
  idempotency_key TEXT NOT NULL,       -- opaque
  content_hash BLOB NOT NULL,          -- SHA-256 of the sealed bytes
  signature TEXT NOT NULL DEFAULT '',  -- the partner's JWS over both and the rest, as evidence of who delivered
  received BIGINT NOT NULL,
  declared BIGINT NOT NULL,            -- how many records the partner said it holds
  state TEXT NOT NULL,                 -- pending | merged | unreadable
  accepted BIGINT NOT NULL,
  duplicates BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  PRIMARY KEY (pod_id, grant_id, sequence)
);
CREATE UNIQUE INDEX IF NOT EXISTS sealed_delivery_once ON sealed_delivery (pod_id, grant_id, idempotency_key);
