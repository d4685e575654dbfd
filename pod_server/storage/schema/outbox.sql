-- Messages to partners (notices of consent, claims): written in the transaction of what they tell of, sent afterwards
-- by the bridge, in order for each partner. A body is sealed, and emptied once it was delivered.
CREATE TABLE IF NOT EXISTS outbox (
  pod_id BIGINT NOT NULL,              -- 0 where a message concerns no pod
  message_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,            -- counts each partner's messages from 1
  idempotency_key TEXT NOT NULL,
  kind TEXT NOT NULL,
  body BLOB NOT NULL,
  state TEXT NOT NULL,                 -- waiting | delivered | given-up
  attempts BIGINT NOT NULL,
  next_attempt BIGINT NOT NULL,        -- microseconds since the epoch, real time
  last_answer TEXT NOT NULL,
  created BIGINT NOT NULL,             -- microseconds since the epoch, city's time
  delivered BIGINT,
  reply TEXT NOT NULL DEFAULT '',      -- what a claim was answered, sealed for this host
  replied BIGINT,                      -- microseconds since the epoch, city's time
  PRIMARY KEY (pod_id, message_id)
);
CREATE UNIQUE INDEX IF NOT EXISTS outbox_once ON outbox (client_id, idempotency_key);
CREATE UNIQUE INDEX IF NOT EXISTS outbox_order ON outbox (client_id, sequence);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (state, client_id, sequence);

-- The signed receipt of each delivery a partner made; it names grants, never citizens.
CREATE TABLE IF NOT EXISTS delivery_receipt (
  receipt_id TEXT NOT NULL PRIMARY KEY,
  client_id TEXT NOT NULL,
  created BIGINT NOT NULL,
  receipt TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_receipt_of_client ON delivery_receipt (client_id, created);

-- Deliveries that a partner named by an Idempotency-Key, so that one that was cut goes on where it was (bulk.py). What was
-- answered is sealed for this host; both tables name partners, never citizens, and are emptied after a week.
CREATE TABLE IF NOT EXISTS bulk_delivery (
  client_id TEXT NOT NULL,
  delivery_key TEXT NOT NULL,
  at BIGINT NOT NULL,                  -- microseconds since the epoch, real time
  receipt TEXT NOT NULL,               -- empty until it is complete
  PRIMARY KEY (client_id, delivery_key)
);
CREATE TABLE IF NOT EXISTS bulk_piece (
  client_id TEXT NOT NULL,
  delivery_key TEXT NOT NULL,
  number BIGINT NOT NULL,
  at BIGINT NOT NULL,
  size_bytes BIGINT NOT NULL,
  sha256 BLOB NOT NULL,
  items BIGINT NOT NULL,
  answers TEXT NOT NULL,
  receipt TEXT NOT NULL,
  PRIMARY KEY (client_id, delivery_key, number)
);
