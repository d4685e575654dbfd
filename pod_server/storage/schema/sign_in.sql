-- Passkeys (WebAuthn). What is needed to check one is sealed for the host, so that a row made or moved by hand opens
-- nothing; `sealed_root` is the pod's root key under a secret that only the passkey gives (its PRF), where it was asked to.
CREATE TABLE IF NOT EXISTS passkey (
  pod_id BIGINT NOT NULL,
  credential_hash TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  sign_count BIGINT NOT NULL,
  sealed_root BLOB,
  made_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE INDEX IF NOT EXISTS passkey_by_pod ON passkey (pod_id);

-- Providers that know who somebody is (OpenID Connect; ID-porten). All of it is sealed for the host: the secret by which
-- this host proves itself there, and the issuer's name, so that a row made by hand lets nobody in.
CREATE TABLE IF NOT EXISTS upstream_provider (
  slug TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  made_at BIGINT NOT NULL
);

-- Which pod somebody's identity at a provider opens. A national number is never kept: only its keyed hash.
CREATE TABLE IF NOT EXISTS upstream_link (
  pod_id BIGINT NOT NULL,
  subject_hash TEXT PRIMARY KEY,
  slug TEXT NOT NULL,
  sealed TEXT NOT NULL,  -- the pod, for the host: a row moved to another pod opens nothing
  made_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE INDEX IF NOT EXISTS upstream_link_by_pod ON upstream_link (pod_id);
