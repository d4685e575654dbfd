-- Apps that citizens sign in to with their WebID (Solid-OIDC). Secrets, codes and tokens are kept as SHA-256 only. Which
-- apps a citizen uses is theirs to tell: `app` is a keyed hash, another one in every pod, and `sealed` is for the host.

-- Apps that registered themselves (RFC 7591). One that no citizen ever said yes to is forgotten after a day.
CREATE TABLE IF NOT EXISTS app_registration (
  client_id TEXT PRIMARY KEY,
  secret_hash TEXT NOT NULL,
  document TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE INDEX IF NOT EXISTS app_registration_unused ON app_registration (created_at) WHERE used_at IS NULL;

-- Questions that an app's visit puts to the citizen: may it, or shall they sign out.
CREATE TABLE IF NOT EXISTS app_question (
  question_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  sealed TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  answered_at BIGINT
);

-- What a citizen let an app do; at most one row of an app in a pod has not ended.
CREATE TABLE IF NOT EXISTS app_connection (
  pod_id BIGINT NOT NULL,
  connection_id TEXT PRIMARY KEY,
  app TEXT NOT NULL,
  sealed TEXT NOT NULL,
  modes TEXT NOT NULL,
  given_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE UNIQUE INDEX IF NOT EXISTS app_connection_in_force ON app_connection (pod_id, app) WHERE ended_at IS NULL;

-- Codes and refresh tokens of apps. A token's family is the code it came from: the code's second use ends it.
CREATE TABLE IF NOT EXISTS app_code (
  pod_id BIGINT NOT NULL,
  code_hash TEXT PRIMARY KEY,
  connection_id TEXT NOT NULL,
  app TEXT NOT NULL,
  sealed TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE TABLE IF NOT EXISTS app_refresh_token (
  pod_id BIGINT NOT NULL,
  token_hash TEXT PRIMARY KEY,
  connection_id TEXT NOT NULL,
  app TEXT NOT NULL,
  family TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  auth_time BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  ended_at BIGINT,
  id_token_algorithm TEXT NOT NULL DEFAULT 'ES256'
);
CREATE INDEX IF NOT EXISTS app_refresh_token_by_connection ON app_refresh_token (pod_id, connection_id);
