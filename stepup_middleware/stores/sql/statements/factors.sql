-- name: list_factors
SELECT
    f.id, f.kind, f.name, f.created_at, f.last_used_at, f.credential_id, f.public_key, f.algorithm, f.sign_count,
    f.backup_eligible, f.backed_up, f.transports, f.aaguid, f.user_handle, f.encrypted_secret,
    f.last_step, f.workspace, f.subject,
    EXISTS (SELECT 1 FROM stepup.audit AS r WHERE r.factor = f.id AND r.event = 'FACTOR_REMOVED'), f.mac
FROM stepup.factors AS f
WHERE f.workspace = $1 AND f.subject = $2
ORDER BY f.created_at, f.id;

-- name: factors_of
SELECT
    f.id, f.workspace, f.subject, f.kind, f.sign_count, f.created_at, f.credential_id, f.public_key, f.algorithm,
    f.backup_eligible, f.aaguid, f.user_handle, f.encrypted_secret,
    EXISTS (SELECT 1 FROM stepup.audit AS r WHERE r.factor = f.id AND r.event = 'FACTOR_REMOVED'), f.mac
FROM stepup.factors AS f WHERE f.workspace = $1 AND f.subject = $2 ORDER BY f.created_at, f.id;

-- name: missed_factors
-- Those that the log says are enrolled, and that are not there.
SELECT DISTINCT a.factor FROM stepup.audit AS a
WHERE a.workspace = $1 AND a.subject = $2 AND a.event = 'FACTOR_ENROLLED' AND a.factor <> ''
  AND NOT EXISTS (SELECT 1 FROM stepup.factors AS f WHERE f.id = a.factor)
  AND NOT EXISTS (SELECT 1 FROM stepup.audit AS r WHERE r.factor = a.factor AND r.event = 'FACTOR_REMOVED');

-- name: insert_factor
INSERT INTO stepup.factors (
    id, workspace, subject, kind, name, created_at, last_used_at, credential_id, public_key, algorithm, sign_count,
    backup_eligible, backed_up, transports, aaguid, user_handle, encrypted_secret, mac, last_step
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id;

-- name: rename_factor
UPDATE stepup.factors SET name = $1 WHERE id = $2 AND workspace = $3 AND subject = $4;

-- name: remove_factor
DELETE FROM stepup.factors WHERE id = $1 AND workspace = $2 AND subject = $3;

-- name: set_user_handle
INSERT INTO stepup.people (workspace, subject, user_handle, mac) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace, subject) DO UPDATE SET user_handle = excluded.user_handle, mac = excluded.mac;

-- name: lock_user_handle
-- Makes the row when there is none, so that there is one to lock.
INSERT INTO stepup.people (workspace, subject) VALUES ($1, $2)
ON CONFLICT (workspace, subject) DO UPDATE SET last_step = people.last_step
RETURNING workspace, subject, user_handle, mac;

-- name: read_last_step
SELECT last_step FROM stepup.people WHERE workspace = $1 AND subject = $2;

-- name: lock_person
-- Makes the row when there is none, so that there is one to lock.
INSERT INTO stepup.people (workspace, subject) VALUES ($1, $2)
ON CONFLICT (workspace, subject) DO UPDATE SET last_step = people.last_step
RETURNING last_step;

-- name: advance_step
-- RFC 6238 section 5.2: a time-step is accepted once. Run after lock_person.
UPDATE stepup.people SET last_step = $3
WHERE workspace = $1 AND subject = $2 AND last_step < $3
  AND NOT EXISTS (
      SELECT 1 FROM stepup.factors AS f WHERE f.workspace = $1 AND f.subject = $2 AND f.last_step >= $3
  );

-- name: keep_last_steps
-- Those of factors that go stay spent.
UPDATE stepup.people SET last_step = f.last_step
FROM (SELECT max(g.last_step) AS last_step FROM stepup.factors AS g WHERE g.workspace = $1 AND g.subject = $2
      AND g.id = coalesce($3, g.id)) AS f
WHERE workspace = $1 AND subject = $2 AND people.last_step < f.last_step;

-- name: begin_enrolment
INSERT INTO stepup.enrolments (
    workspace, subject, session, kind, id, basis, ip, begun_at, expires_at, challenge, encrypted_secret, mac
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (workspace, subject, session, kind) DO UPDATE
SET id = excluded.id, basis = excluded.basis, ip = excluded.ip, begun_at = excluded.begun_at,
    expires_at = excluded.expires_at, challenge = excluded.challenge, encrypted_secret = excluded.encrypted_secret,
    mac = excluded.mac;

-- name: read_enrolment
SELECT workspace, subject, session, kind, id, basis, ip, begun_at, expires_at, challenge, encrypted_secret, mac
FROM stepup.enrolments
WHERE workspace = $1 AND subject = $2 AND session = $3 AND kind = $4 AND expires_at > $5 AND id = coalesce($6, id);

-- name: pop_enrolment
DELETE FROM stepup.enrolments
WHERE workspace = $1 AND subject = $2 AND session = $3 AND kind = $4 AND expires_at > $5 AND id = coalesce($6, id)
RETURNING workspace, subject, session, kind, id, basis, ip, begun_at, expires_at, challenge, encrypted_secret, mac;

-- name: drop_enrolment
DELETE FROM stepup.enrolments WHERE id = $1 AND workspace = $2 AND subject = $3;

-- name: mac_keys
SELECT substr(f.mac, 1, 4) FROM stepup.factors AS f
UNION SELECT substr(o.mac, 1, 4) FROM stepup.policies AS o
UNION SELECT substr(u.mac, 1, 4) FROM stepup.people AS u WHERE u.mac IS NOT NULL
UNION SELECT substr(p.mac, 1, 4) FROM stepup.enrolment_passes AS p
UNION SELECT substr(r.mac, 1, 4) FROM stepup.enrolment_rights AS r
UNION SELECT substr(c.mac, 1, 4) FROM stepup.recovery_codes AS c
UNION SELECT substr(q.mac, 1, 4) FROM stepup.reset_requests AS q
UNION SELECT substr(k.mac, 1, 4) FROM stepup.known_people AS k
UNION SELECT substr(v.mac, 1, 4) FROM stepup.approvals AS v
UNION SELECT substr(t.mac, 1, 4) FROM stepup.trees AS t;

-- name: known_mac_keys
SELECT id, mac FROM stepup.mac_keys;

-- name: put_mac_key
INSERT INTO stepup.mac_keys (id, mac) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET mac = excluded.mac;

-- name: policies_after
SELECT workspace, version, requirements, mac FROM stepup.policies WHERE workspace > $1 ORDER BY workspace LIMIT $2
FOR UPDATE;

-- name: handles_after
SELECT workspace, subject, user_handle, mac FROM stepup.people
WHERE (workspace, subject) > ($1, $2) AND mac IS NOT NULL ORDER BY workspace, subject LIMIT $3
FOR UPDATE;

-- name: factors_after
SELECT
    f.id, f.workspace, f.subject, f.kind, f.sign_count, f.created_at, f.credential_id, f.public_key, f.algorithm,
    f.backup_eligible, f.aaguid, f.user_handle, f.encrypted_secret, f.mac
FROM stepup.factors AS f WHERE f.id > $1 ORDER BY f.id LIMIT $2 FOR UPDATE;
