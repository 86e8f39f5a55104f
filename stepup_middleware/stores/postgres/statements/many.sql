-- Statements over many rows: each parameter is a column of them. What they change is locked in the order of its keys.

-- name: redeem
-- Each condition is the opposite of one predicate of core.decisions, in the order of its table. Where two
-- presentations of a batch show the same token, one of them redeems it: the row's attempt tells which. The
-- columns that the guard compared are not sent back.
UPDATE stepup.tokens AS t
SET state = 'redeemed',
    attempt = s.attempt,
    redeemed_at = s.now,
    redeemed_ip = s.ip,
    redeemed_user_agent = s.user_agent
FROM unnest(
    $1::bigint[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::integer[], $12::bytea[], $13::bytea[], $14::bigint[],
    $15::bigint[]
) AS s (
    id, nonce, attempt, workspace, subject, session, ip, user_agent, purpose, ttl, strength, request_digest,
    details_digest, now, latest_issue
)
WHERE t.id = s.id
  AND t.nonce = s.nonce
  AND t.state = 'issued'
  AND t.epoch = (SELECT m.epoch FROM stepup.meta AS m)
  AND t.subject = s.subject
  AND t.session = s.session
  AND t.workspace = s.workspace
  AND t.ip = s.ip
  AND s.now < t.expires_at
  AND s.now < t.issued_at + s.ttl
  AND t.issued_at <= s.latest_issue
  AND t.purpose = s.purpose
  AND t.request_digest = s.request_digest
  AND t.details_digest = s.details_digest
  AND EXISTS (
      SELECT FROM stepup.factors AS f
      WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
  )
  AND NOT EXISTS (SELECT 1 FROM stepup.audit AS a WHERE a.token = t.id)
  AND (s.strength = 0 OR t.factor_kind IN ('passkey', 'hardware_key'))
  AND (s.strength = 0 OR NOT EXISTS (
      SELECT FROM stepup.audit AS h WHERE h.workspace = t.workspace AND h.person = t.subject AND h.held > s.now
  ))
RETURNING
    t.id, t.attempt, t.prompt, t.factor, t.factor_kind, t.requirement, t.policy_version, t.issued_at, t.expires_at,
    t.epoch, t.mac;

-- name: read_tokens
-- The rows as core.decisions judges them, locked: an unredeemed token of an earlier epoch is a revoked one, and one that
-- authorized an action is a redeemed one, whatever the row says.
SELECT
    t.id, t.nonce,
    CASE
        WHEN EXISTS (SELECT 1 FROM stepup.audit AS a WHERE a.token = t.id) THEN 'redeemed'
        WHEN t.state IN ('issued', 'uncollected') AND t.epoch <> (SELECT m.epoch FROM stepup.meta AS m) THEN 'revoked'
        ELSE t.state
    END,
    t.prompt, t.workspace, t.subject, t.session, t.ip, t.purpose, t.requirement, t.policy_version,
    t.request_digest, t.details_digest, t.factor, t.factor_kind, t.issued_at, t.expires_at, t.attempt,
    t.redeemed_at, t.redeemed_ip, t.redeemed_user_agent, t.replays, t.presenters, t.epoch, t.mac,
    EXISTS (
        SELECT FROM stepup.factors AS f
        WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
    ),
    coalesce((SELECT max(h.held) FROM stepup.audit AS h WHERE h.workspace = t.workspace AND h.person = t.subject), 0)
FROM stepup.tokens AS t
WHERE t.id = ANY ($1::bigint[])
ORDER BY t.id FOR NO KEY UPDATE OF t;

-- name: revoke_tokens
UPDATE stepup.tokens AS t SET state = 'revoked', revoked = s.reason
FROM unnest($1::bigint[], $2::text[]) AS s (id, reason)
WHERE t.id = s.id AND t.state IN ('issued', 'uncollected');

-- name: note_replays
UPDATE stepup.tokens AS t SET replays = s.replays, presenters = s.presenters
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS s (id, replays, presenters)
WHERE t.id = s.id;

-- name: insert_tokens
INSERT INTO stepup.tokens (
    epoch, state, nonce, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at, mac
)
SELECT s.epoch, s.state, s.nonce, s.prompt, s.workspace, s.subject, s.session, s.ip, s.purpose, s.requirement,
    s.policy_version, s.request_digest, s.details_digest, s.factor, s.factor_kind, s.issued_at, s.expires_at, s.mac
FROM unnest(
    $1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::bytea[], $12::bytea[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bytea[],
    $18::text[]
) AS s (
    epoch, nonce, prompt, workspace, subject, session, ip, purpose, requirement, policy_version, request_digest,
    details_digest, factor, factor_kind, issued_at, expires_at, mac, state
)
RETURNING prompt, id;

-- name: prompts_with_approvals
SELECT prompt FROM stepup.approvals WHERE prompt = ANY ($1::text[]);

-- name: lock_prompts
SELECT id, expires_at, epoch FROM stepup.prompts
WHERE id = ANY ($1::text[]) AND state = 'open' AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
ORDER BY id FOR UPDATE;

-- name: prove_prompts
UPDATE stepup.prompts AS p
SET state = 'proved', token = s.token, challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
FROM unnest($1::text[], $2::bigint[]) AS s (id, token)
WHERE p.id = s.id AND p.state = 'open';

-- name: lock_factors
SELECT
    f.id, f.workspace, f.subject, f.kind, f.sign_count, f.created_at, f.credential_id, f.public_key, f.algorithm,
    f.backup_eligible, f.aaguid, f.user_handle, f.encrypted_secret,
    EXISTS (SELECT 1 FROM stepup.audit AS r WHERE r.factor = f.id AND r.event = 'FACTOR_REMOVED'), f.mac
FROM stepup.factors AS f
WHERE f.id = ANY ($1::text[]) ORDER BY f.id FOR NO KEY UPDATE;

-- name: use_factors
UPDATE stepup.factors AS f
SET sign_count = coalesce(s.sign_count, f.sign_count),
    backed_up = coalesce(s.backed_up, f.backed_up),
    last_used_at = s.used_at,
    mac = s.mac
FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bytea[])
    AS s (id, sign_count, backed_up, used_at, mac)
WHERE f.id = s.id;

-- name: epoch_and_factors
-- At least one row: the epoch, and the factors of these that are enrolled.
SELECT m.epoch, f.id, f.workspace, f.subject
FROM stepup.meta AS m LEFT JOIN stepup.factors AS f ON f.id = ANY ($1::text[]);

-- name: holds_of
SELECT h.workspace, h.person, max(h.held) FROM stepup.audit AS h
JOIN unnest($1::text[], $2::text[]) AS s (workspace, person) ON h.workspace = s.workspace AND h.person = s.person
WHERE h.held IS NOT NULL GROUP BY h.workspace, h.person;

-- name: authorized_tokens
SELECT token FROM stepup.audit WHERE token = ANY ($1::bigint[]);

-- name: spend_steps
-- RFC 6238 section 5.2: a time-step is accepted once. Run after lock_person.
UPDATE stepup.factors AS f SET last_step = s.step
FROM unnest($1::text[], $2::bigint[]) AS s (id, step)
WHERE f.id = s.id AND f.last_step < s.step
  AND s.step > (SELECT p.last_step FROM stepup.people AS p WHERE p.workspace = f.workspace AND p.subject = f.subject)
RETURNING f.id;

-- name: clear_attempts
DELETE FROM stepup.attempts AS a
USING unnest($1::text[], $2::text[], $3::text[]) AS s (workspace, subject, bucket)
WHERE a.workspace = s.workspace AND a.subject = s.subject AND a.bucket = s.bucket;

-- name: taken_credentials
SELECT f.credential_id FROM stepup.factors AS f WHERE f.credential_id = ANY ($1::bytea[]);

-- name: factors_of_people
SELECT f.workspace, f.subject, f.id FROM stepup.factors AS f
WHERE (f.workspace, f.subject) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: insert_factors
INSERT INTO stepup.factors (
    id, workspace, subject, kind, name, created_at, last_used_at, credential_id, public_key, algorithm, sign_count,
    backup_eligible, backed_up, transports, aaguid, user_handle, encrypted_secret, mac
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[],
    $10::bigint[], $11::bigint[], $12::boolean[], $13::boolean[], $14::text[], $15::text[], $16::bytea[], $17::bytea[],
    $18::bytea[]
)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id;

-- name: set_secrets
UPDATE stepup.factors AS f SET encrypted_secret = s.secret, mac = s.mac
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS s (id, secret, mac) WHERE f.id = s.id;

-- name: delivered_records
SELECT a.seq, a.body, a.id, a.entry, a.mac, a.refused, l.log, l.idx
FROM stepup.audit AS a LEFT JOIN stepup.leaves AS l ON l.record_id = a.id
WHERE a.seq = ANY ($1::bigint[]) ORDER BY a.seq;

-- name: pending_of
SELECT a.seq, a.id, a.body, a.entry, a.mac FROM stepup.audit AS a
WHERE a.seq = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM stepup.leaves AS l WHERE l.record_id = a.id);

-- name: insert_leaves
INSERT INTO stepup.leaves (log, idx, record_id, entry)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[]);

-- name: put_tiles
INSERT INTO stepup.tiles (log, level, number, hashes)
SELECT * FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bytea[])
ON CONFLICT (log, level, number) DO UPDATE SET hashes = excluded.hashes;

-- name: insert_prompts
INSERT INTO stepup.prompts (epoch, state, id, workspace, subject, session, created_at, expires_at, body, mac)
SELECT (SELECT m.epoch FROM stepup.meta AS m), 'open', s.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[]) AS s;

-- name: read_for_asking
-- All that decides what is asked: place in the batch, the session's places that are taken and by what it was refused,
-- the workspace's policy, the person's factors, the hold on them.
-- A cancelled prompt keeps its place until it would have expired: else who asks and cancels asks without end. A proved one
-- keeps it as long as its token may still be redeemed: else who proves and never redeems holds tokens without end.
SELECT
    s.place,
    (
        SELECT ARRAY[count(*), min(coalesce(t.expires_at, p.expires_at))]
        FROM stepup.prompts AS p LEFT JOIN stepup.tokens AS t ON t.id = p.token AND p.state = 'proved'
        WHERE p.workspace = s.workspace AND p.subject = s.subject AND p.session = s.session
          AND p.epoch = (SELECT m.epoch FROM stepup.meta AS m)
          AND CASE
              WHEN p.state = 'proved' THEN t.state IN ('issued', 'uncollected') AND t.expires_at > s.now
              ELSE p.expires_at > s.now
          END
    ),
    (
        SELECT ARRAY[r.blocked, r.blocked_until] FROM stepup.refused_sessions AS r
        WHERE r.workspace = s.workspace AND r.subject = s.subject AND r.session = s.session AND r.blocked_until > s.now
    ),
    (
        SELECT ARRAY[o.workspace, o.version::text, o.requirements, encode(o.mac, 'hex')] FROM stepup.policies AS o
        WHERE o.workspace = s.workspace
    ),
    (
        SELECT l.body FROM stepup.audit AS l WHERE l.workspace = s.workspace AND l.event = 'POLICY_CHANGED'
        ORDER BY l.seq DESC LIMIT 1
    ),
    ARRAY(
        SELECT ARRAY[f.id, f.kind] FROM stepup.factors AS f
        WHERE f.workspace = s.workspace AND f.subject = s.subject ORDER BY f.created_at, f.id
    ),
    (SELECT max(h.held) FROM stepup.audit AS h WHERE h.workspace = s.workspace AND h.person = s.subject)
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    AS s (place, workspace, subject, session, now);

-- name: lock
-- $1 is sorted: two nodes that lock the same keys wait for each other in one order.
SELECT pg_advisory_xact_lock(1398030678, k) FROM unnest($1::integer[]) AS k;
