-- Pods whose access rules changed while documents still lie in the scope that was right before (resources/settling.py).
-- `turn` grows with each change of rules: who moved everything that an older turn asked for has not moved everything.
CREATE TABLE IF NOT EXISTS unsettled_pod (
  pod_id BIGINT NOT NULL PRIMARY KEY,
  turn BIGINT NOT NULL
);
