-- Webhooks that somebody asked for (Solid WebhookChannel2023). About what, for whom and where to is sealed for this host,
-- and so is what the receiver was told of last.
CREATE TABLE IF NOT EXISTS webhook_channel (
  pod_id BIGINT NOT NULL,
  channel_id TEXT NOT NULL,
  created BIGINT NOT NULL,              -- microseconds since 1970, real time, as all times here
  ends BIGINT NOT NULL,
  state TEXT NOT NULL,                  -- 'open' | 'given-up'
  attempts BIGINT NOT NULL,             -- tries since the last that arrived
  next_attempt BIGINT NOT NULL,         -- before this nothing is sent: a pause, or another process is sending
  turn BIGINT NOT NULL,                 -- grows with each delivery: who counts on an older one looks again
  last_answer TEXT NOT NULL,
  sealed BLOB NOT NULL,
  told BLOB NOT NULL,
  PRIMARY KEY (pod_id, channel_id)
);
CREATE INDEX IF NOT EXISTS webhook_channel_by_age ON webhook_channel (created);
