-- Statements over many rows. Those over VALUES are one text for a whole batch: each further step lets go of the
-- interpreter's lock and takes it back. Their parameters are bare question marks, as many rows of them as are needed,
-- the last of them filled with NULL; what they give is one row, a JSON list. The others run once for each row.

-- name: redeem
-- Each condition is the opposite of one predicate of core.decisions, in the order of its table. Where two
-- presentations of a batch show the same token, one of them redeems it: the row's attempt tells which.
UPDATE tokens AS t
SET state = 'redeemed',
    batch = s.batch,
    attempt = s.attempt,
    redeemed_at = s.now,
    redeemed_ip = s.ip,
    redeemed_user_agent = s.user_agent
FROM (
    SELECT
        column1 AS id, column2 AS nonce, column3 AS attempt, column4 AS workspace, column5 AS subject,
        column6 AS session, column7 AS ip, column8 AS user_agent, column9 AS purpose, column10 AS ttl,
        column11 AS strength, column12 AS request_digest, column13 AS details_digest, column14 AS now,
        column15 AS latest_issue, column16 AS batch
    FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
) AS s
WHERE t.id = s.id
  AND t.nonce = s.nonce
  AND t.state = 'issued'
  AND t.epoch = (SELECT m.epoch FROM meta AS m)
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
      SELECT 1 FROM factors AS f
      WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
  )
  AND NOT EXISTS (SELECT 1 FROM audit AS a WHERE a.token = t.id)
  AND (s.strength = 0 OR t.factor_kind IN ('passkey', 'hardware_key'))
  AND (s.strength = 0 OR NOT EXISTS (
      SELECT 1 FROM audit AS h WHERE h.workspace = t.workspace AND h.person = t.subject AND h.held > s.now
  ));

-- name: redeemed_in_batch
-- All in one row: the interpreter's lock is then let go once, not once a token.
SELECT json_group_array(json_array(
    id, hex(attempt), prompt, factor, factor_kind, requirement, policy_version, issued_at, expires_at,
    epoch, hex(mac)
))
FROM tokens
WHERE id IN (SELECT shown.value FROM json_each(?1) AS shown) AND batch = ?2 AND state = 'redeemed';

-- name: read_tokens
-- A row as core.decisions judges it: an unredeemed token of an earlier epoch is a revoked one, and one that authorized
-- an action is a redeemed one, whatever the row says.
SELECT
    t.id, t.nonce,
    CASE
        WHEN EXISTS (SELECT 1 FROM audit AS a WHERE a.token = t.id) THEN 'redeemed'
        WHEN t.state IN ('issued', 'uncollected') AND t.epoch <> (SELECT m.epoch FROM meta AS m) THEN 'revoked'
        ELSE t.state
    END,
    t.prompt, t.workspace, t.subject, t.session, t.ip, t.purpose, t.requirement, t.policy_version,
    t.request_digest, t.details_digest, t.factor, t.factor_kind, t.issued_at, t.expires_at, t.attempt,
    t.redeemed_at, t.redeemed_ip, t.redeemed_user_agent, t.replays, t.presenters, t.epoch, t.mac,
    EXISTS (
        SELECT 1 FROM factors AS f
        WHERE f.id = t.factor AND f.workspace = t.workspace AND f.subject = t.subject
    ),
    coalesce((SELECT max(h.held) FROM audit AS h WHERE h.workspace = t.workspace AND h.person = t.subject), 0)
FROM tokens AS t
WHERE t.id = ?1;

-- name: revoke_tokens
UPDATE tokens SET state = 'revoked', revoked = ?2 WHERE id = ?1 AND state IN ('issued', 'uncollected');

-- name: note_replays
UPDATE tokens SET replays = ?2, presenters = ?3 WHERE id = ?1;

-- name: insert_tokens
INSERT INTO tokens (
    epoch, state, nonce, prompt, workspace, subject, session, ip, purpose, requirement, policy_version,
    request_digest, details_digest, factor, factor_kind, issued_at, expires_at, mac
)
VALUES (?1, ?18, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
RETURNING prompt, id;

-- name: prompts_with_approvals
SELECT prompt FROM approvals WHERE prompt = ?1;

-- name: lock_prompts
SELECT id, expires_at, epoch FROM prompts
WHERE id = ?1 AND state = 'open' AND epoch = (SELECT m.epoch FROM meta AS m);

-- name: prove_prompts
UPDATE prompts
SET state = 'proved', token = ?2, challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE id = ?1 AND state = 'open';

-- name: lock_factors
SELECT
    f.id, f.workspace, f.subject, f.kind, f.sign_count, f.created_at, f.credential_id, f.public_key, f.algorithm,
    f.backup_eligible, f.aaguid, f.user_handle, f.encrypted_secret,
    EXISTS (SELECT 1 FROM audit AS r WHERE r.factor = f.id AND r.event = 'FACTOR_REMOVED'), f.mac
FROM factors AS f WHERE f.id = ?1;

-- name: use_factors
UPDATE factors
SET sign_count = coalesce(?2, sign_count), backed_up = coalesce(?3, backed_up), last_used_at = ?4, mac = ?5
WHERE id = ?1;

-- name: epoch_and_factors
SELECT m.epoch, f.id, f.workspace, f.subject FROM meta AS m LEFT JOIN factors AS f ON f.id = ?1;

-- name: holds_of
SELECT ?1, ?2, held FROM audit
WHERE workspace = ?1 AND person = ?2 AND held IS NOT NULL ORDER BY held DESC LIMIT 1;

-- name: authorized_tokens
SELECT token FROM audit WHERE token = ?1;

-- name: spend_steps
-- RFC 6238 section 5.2: a time-step is accepted once. Run after lock_person.
UPDATE factors SET last_step = ?2
WHERE id = ?1 AND last_step < ?2
  AND ?2 > (SELECT p.last_step FROM people AS p WHERE p.workspace = factors.workspace AND p.subject = factors.subject)
RETURNING id;

-- name: clear_attempts
DELETE FROM attempts WHERE workspace = ?1 AND subject = ?2 AND bucket = ?3;

-- name: taken_credentials
SELECT credential_id FROM factors WHERE credential_id = ?1;

-- name: factors_of_people
SELECT workspace, subject, id FROM factors WHERE workspace = ?1 AND subject = ?2;

-- name: insert_factors
INSERT INTO factors (
    id, workspace, subject, kind, name, created_at, last_used_at, credential_id, public_key, algorithm, sign_count,
    backup_eligible, backed_up, transports, aaguid, user_handle, encrypted_secret, mac
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id;

-- name: set_secrets
UPDATE factors SET encrypted_secret = ?2, mac = ?3 WHERE id = ?1;

-- name: delivered_records
SELECT a.seq, a.body, a.id, a.entry, a.mac, a.refused, l.log, l.idx
FROM audit AS a LEFT JOIN leaves AS l ON l.record_id = a.id WHERE a.seq = ?1;

-- name: pending_of
SELECT a.seq, a.id, a.body, a.entry, a.mac FROM audit AS a
WHERE a.seq = ?1 AND NOT EXISTS (SELECT 1 FROM leaves AS l WHERE l.record_id = a.id);

-- name: insert_leaves
INSERT INTO leaves (log, idx, record_id, entry) SELECT * FROM (VALUES (?, ?, ?, ?)) WHERE column1 IS NOT NULL;

-- name: put_tiles
INSERT INTO tiles (log, level, number, hashes) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (log, level, number) DO UPDATE SET hashes = excluded.hashes;

-- name: insert_prompts
INSERT INTO prompts (epoch, state, id, workspace, subject, session, created_at, expires_at, body, mac)
SELECT (SELECT m.epoch FROM meta AS m), 'open', s.* FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?)) AS s WHERE column1 IS NOT NULL;

-- name: read_for_asking
-- All that decides what is asked: place in the batch, the session's places that are taken and by what it was refused,
-- the workspace's policy, the person's factors, the hold on them.
-- A cancelled prompt keeps its place until it would have expired: else who asks and cancels asks without end. A proved one
-- keeps it as long as its token may still be redeemed: else who proves and never redeems holds tokens without end.
SELECT json_group_array(json_array(
    s.place,
    json((
        SELECT json_array(count(*), min(coalesce(t.expires_at, p.expires_at)))
        FROM prompts AS p LEFT JOIN tokens AS t ON t.id = p.token AND p.state = 'proved'
        WHERE p.workspace = s.workspace AND p.subject = s.subject AND p.session = s.session
          AND p.epoch = (SELECT m.epoch FROM meta AS m)
          AND CASE
              WHEN p.state = 'proved' THEN t.state IN ('issued', 'uncollected') AND t.expires_at > s.now
              ELSE p.expires_at > s.now
          END
    )),
    json((
        SELECT json_array(r.blocked, r.blocked_until) FROM refused_sessions AS r
        WHERE r.workspace = s.workspace AND r.subject = s.subject AND r.session = s.session AND r.blocked_until > s.now
    )),
    json((
        SELECT json_array(o.workspace, o.version, o.requirements, hex(o.mac)) FROM policies AS o
        WHERE o.workspace = s.workspace
    )),
    (
        SELECT l.body FROM audit AS l WHERE l.workspace = s.workspace AND l.event = 'POLICY_CHANGED'
        ORDER BY l.seq DESC LIMIT 1
    ),
    json((
        SELECT json_group_array(json_array(f.id, f.kind)) FROM (
            SELECT id, kind FROM factors AS e WHERE e.workspace = s.workspace AND e.subject = s.subject
            ORDER BY e.created_at, e.id
        ) AS f
    )),
    (SELECT max(h.held) FROM audit AS h WHERE h.workspace = s.workspace AND h.person = s.subject)
))
FROM (
    SELECT column1 AS place, column2 AS workspace, column3 AS subject, column4 AS session, column5 AS now
    FROM (VALUES (?, ?, ?, ?, ?))
) AS s
WHERE s.place IS NOT NULL;
