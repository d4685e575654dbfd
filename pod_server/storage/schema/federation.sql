-- Whose admissions of partners this host takes for its own, and the partners that came by one; nothing about citizens.

CREATE TABLE IF NOT EXISTS trusted_admitter (
  issuer TEXT PRIMARY KEY,
  added_at BIGINT NOT NULL,    -- microseconds since the epoch, real time
  added_by TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS admitted_elsewhere (
  issuer TEXT NOT NULL,
  software_id TEXT NOT NULL,   -- what the issuer calls the partner
  client_id TEXT NOT NULL,     -- what this host calls it
  statement_at BIGINT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (issuer, software_id)
);
