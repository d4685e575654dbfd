"""The storage port on PostgreSQL: many writers, each alone with the pods that its statements name.

What SQLite gives by having one writer is given here by taking turns in smaller rooms. In a writing transaction

- the first statement about a pod takes the pod: its row in `pod` is locked (FOR NO KEY UPDATE) until the transaction
  ends, so whoever reads a pod's grant, log head or feed there reads what stands, and nobody changes it meanwhile. The
  commit of a withdrawal is thereby the point after which no write under the grant succeeds, in any process;
- the first statement about a table that is not reached by pod takes the table (an advisory lock), so one-use codes
  are used once and counters do not skip.

Statements see what was committed when they began (READ COMMITTED), after the locks were granted. Readers see one
snapshot (REPEATABLE READ). Where two transactions waited for each other, the one that the engine ended is said again,
statement by statement; its writer learns of it only where an answer is another now. A COMMIT answers when the write-ahead log is on the disk (`synchronous_commit = on`).

Statements travel in libpq's pipeline mode: BEGIN, the locks and whatever needs no answer go out with the next question
in one round trip (a round trip costs 60 µs, a statement in a pipeline 5). A reader says neither BEGIN nor ROLLBACK: what
is sent before a sync is one transaction by itself, and a flush brings its answers without ending it.

Source: https://www.postgresql.org/docs/current/explicit-locking.html, .../transaction-iso.html, .../libpq-pipeline-mode.html.
"""
