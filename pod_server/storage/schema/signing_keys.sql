-- The keys with which this host signs tokens, receipts, messages and claims, and those it signed with before.
-- A database without a row signs with the first key, which follows from the host key (signatures.issuer_key).
CREATE TABLE IF NOT EXISTS signing_key (
  kid TEXT PRIMARY KEY,
  algorithm TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  sealed_private TEXT NOT NULL,  -- sealed for the host; emptied when the key has signed for the last time
  made_at BIGINT NOT NULL,
  signs_from BIGINT NOT NULL,    -- it is published before, so that whoever keeps the key set for a while knows it
  signs_until BIGINT,
  published_until BIGINT,        -- the last token it signed has run out then
  revoked_at BIGINT              -- it may be in other hands: nothing it signed is taken any more
);
