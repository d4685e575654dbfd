-- What municipalities offer: a row a version, never written over but for its end. Public; nothing of citizens.
CREATE TABLE IF NOT EXISTS published_offer (
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  client_id TEXT NOT NULL,
  content TEXT NOT NULL,       -- JSON, as vocab/programmes.py reads it
  state TEXT NOT NULL,         -- standing | replaced | withdrawn
  published_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (slug, version)
);
