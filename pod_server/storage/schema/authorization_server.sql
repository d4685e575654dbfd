-- The authorization server's short-lived state. Tokens, codes and request names are kept as SHA-256 only.

-- Pushed authorization requests (RFC 9126), and the interaction each becomes when the citizen's browser arrives.
CREATE TABLE pushed_request (
  request_hash TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  parameters TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  interaction_id TEXT UNIQUE,
  answered_at BIGINT
);

-- Authorization codes (RFC 6749, section 4.1.2): one use; a second use ends what the first one got.
CREATE TABLE authorization_code (
  code_hash TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  code_challenge TEXT NOT NULL,
  dpop_jkt TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);

-- Refresh tokens: good in the hands of the one client that can sign for itself (RFC 9449, section 5).
CREATE TABLE refresh_token (
  token_hash TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT,
  family TEXT NOT NULL DEFAULT '',  -- the code it came of: that one's second use ends what came of the first
  dpop_jkt TEXT NOT NULL DEFAULT ''  -- the one key that may use it, for an app, which cannot sign for itself
);
CREATE INDEX refresh_token_by_grant ON refresh_token (pod_id, grant_id);

-- Access tokens revoked before their time (RFC 7009), until they would have ended anyway.
CREATE TABLE revoked_access_token (
  token_id TEXT PRIMARY KEY,
  expires_at BIGINT NOT NULL
);

-- Citizens' scripts: client credentials for the pod's own owner.
CREATE TABLE script_credential (
  client_id TEXT PRIMARY KEY,
  pod_id BIGINT NOT NULL,
  webid TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  revoked_at BIGINT
);
CREATE INDEX script_credential_by_pod ON script_credential (pod_id);

-- Which browser opened a question first: only that one is shown it and answers it. A random word of the browser's, hashed.
CREATE TABLE IF NOT EXISTS question_browser (
  question_id TEXT PRIMARY KEY,
  browser_hash TEXT NOT NULL,
  opened_at BIGINT NOT NULL
);
