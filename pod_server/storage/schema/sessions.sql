-- Who is signed in. A row opens nothing by itself: the key that unwraps `sealed_root` is in the citizen's cookie.
CREATE TABLE session (
  session_hash TEXT PRIMARY KEY,
  pod_id BIGINT NOT NULL,
  sealed_root BLOB NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  means TEXT NOT NULL DEFAULT 'passphrase',  -- how its citizen signed in: passphrase | passkey | upstream | link
  sealed_details BLOB,                       -- which browser on which system; under the pod's root key
  last_used_at BIGINT,
  upstream_hash TEXT,                        -- keyed hash of the other provider's session, so that it can end ours
  sealed_hint BLOB                           -- what signs them out there; under the cookie's key
);
CREATE INDEX session_by_pod ON session (pod_id);

-- One-use tickets with which a page opens its live stream; sealed like a session.
CREATE TABLE live_ticket (
  ticket_hash TEXT PRIMARY KEY,
  pod_id BIGINT NOT NULL,
  sealed_root BLOB NOT NULL,
  expires_at BIGINT NOT NULL
);

-- One-use links that sign in, made on the machine itself (the demo prints one).
CREATE TABLE sign_in_link (
  link_hash TEXT PRIMARY KEY,
  pod_id BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- Wrong passphrases, a row a name that somebody tried, whether it exists or not.
CREATE TABLE sign_in_attempt (
  name_hash TEXT PRIMARY KEY,
  failures BIGINT NOT NULL,
  wait_until BIGINT NOT NULL
);
