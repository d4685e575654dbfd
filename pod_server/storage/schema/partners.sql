-- What partners and the municipality say and do about a partner; nothing about citizens. Partners themselves: grants.sql.

-- What a partner tells citizens of one purpose, a row a version: as proposed, as admitted, as replaced.
CREATE TABLE IF NOT EXISTS partner_notice (
  client_id TEXT NOT NULL,
  purpose TEXT NOT NULL,
  version BIGINT NOT NULL,
  kinds TEXT NOT NULL,         -- a JSON list
  texts TEXT NOT NULL,         -- a JSON object: language -> text
  notice_hash TEXT NOT NULL,
  state TEXT NOT NULL,         -- proposed | current | replaced | refused
  reason TEXT NOT NULL DEFAULT '',
  made_at BIGINT NOT NULL,
  decided_at BIGINT,
  PRIMARY KEY (client_id, purpose, version)
);

-- What the operator's people, and partners in their console, did; never written over.
CREATE TABLE IF NOT EXISTS operator_act (
  act_id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  at BIGINT NOT NULL,
  by_role TEXT NOT NULL,       -- operator | partner
  by_name TEXT NOT NULL,
  act TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS operator_act_of_client ON operator_act (client_id, at);

-- Who may deliver for which partner: leave given by that partner or by the municipality, ended by either at once.
CREATE TABLE IF NOT EXISTS acting_partner (
  principal TEXT NOT NULL,
  actor TEXT NOT NULL,
  since BIGINT NOT NULL,
  given_by TEXT NOT NULL,      -- operator | partner
  PRIMARY KEY (principal, actor)
);

-- When the keys of a partner with an address for them were last fetched there, and until when they hold; real time.
CREATE TABLE IF NOT EXISTS partner_key_set (
  client_id TEXT PRIMARY KEY,
  fetched_at BIGINT,           -- NULL where they have not come since the application
  fresh_until BIGINT NOT NULL,
  kept_until BIGINT NOT NULL,
  tried_at BIGINT NOT NULL,
  failure TEXT NOT NULL        -- empty where the last try brought them
);

-- Who is signed in to a partner's console or to the operator's pages. What a row says is sealed for this host, so that a
-- row made by hand opens nothing.
CREATE TABLE IF NOT EXISTS console_session (
  session_hash TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,     -- empty for the operator's people
  sealed TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- One-use links to the same; sealed alike.
CREATE TABLE IF NOT EXISTS console_link (
  link_hash TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  sealed TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- What a limited partner has used up of a minute or a day.
CREATE TABLE IF NOT EXISTS partner_window (
  client_id TEXT NOT NULL,
  span TEXT NOT NULL,          -- minute | day
  number BIGINT NOT NULL,      -- minutes or days since 1970, UTC
  used BIGINT NOT NULL,
  PRIMARY KEY (client_id, span)
);

-- What became of a partner's latest deliveries: counts, and where refused items stood and why. No activity, no id of one.
CREATE TABLE IF NOT EXISTS partner_delivery (
  receipt_id TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  at BIGINT NOT NULL,          -- microseconds since the epoch, real time
  channel TEXT NOT NULL,
  items BIGINT NOT NULL,
  accepted BIGINT NOT NULL,
  duplicates BIGINT NOT NULL,
  pending BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  problems TEXT NOT NULL       -- a JSON list of [position, problem type, grant, where]
);
CREATE INDEX IF NOT EXISTS partner_delivery_of_client ON partner_delivery (client_id, at);
