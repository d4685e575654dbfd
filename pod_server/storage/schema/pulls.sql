-- Sources that are asked for citizens' data, and what is known of each citizen's connection to one. The operator's
-- settings of a source are sealed for the host; a citizen's tokens, and how far they were read, under their grant's key.
CREATE TABLE IF NOT EXISTS source (
  slug TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  made_at BIGINT NOT NULL              -- real time, microseconds since 1970, as all times here but last_at
);

CREATE TABLE IF NOT EXISTS pull (
  pod_id BIGINT NOT NULL,
  grant_id TEXT NOT NULL,
  slug TEXT NOT NULL,                  -- the source
  next_at BIGINT NOT NULL,
  not_before BIGINT NOT NULL,          -- what the source asked for (Retry-After); nobody hurries it
  leased_until BIGINT NOT NULL,        -- whoever pulls now has until then
  failures BIGINT NOT NULL,            -- in a row
  last_problem TEXT NOT NULL,          -- a word that the pages put into sentences; '' where all went well
  last_at BIGINT,                      -- the last pull that came to its end, city's time
  last_accepted BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  version BIGINT NOT NULL,
  sealed BLOB NOT NULL,                -- tokens and cursor
  user_key TEXT NOT NULL DEFAULT '',   -- a keyed hash of the name by which the source's calls tell of the citizen
  hurried_until BIGINT NOT NULL DEFAULT 0, -- until then a ping hurries nothing
  callbacks TEXT NOT NULL DEFAULT '', -- what the last ping asks to be fetched, sealed for this host; empty where nothing is
  PRIMARY KEY (pod_id, grant_id)
);
CREATE INDEX IF NOT EXISTS pull_due ON pull (next_at);
CREATE INDEX IF NOT EXISTS pull_user ON pull (slug, user_key);

-- Until when a calculation service asked to be left alone (Retry-After); whoever presses meanwhile is told so.
CREATE TABLE IF NOT EXISTS calculation_pause (
  slug TEXT PRIMARY KEY,               -- the source
  not_before BIGINT NOT NULL           -- real time, microseconds since 1970
);
