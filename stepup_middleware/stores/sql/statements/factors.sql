-- name: list_factors
SELECT
    f.id, f.kind, f.name, f.created_at, f.last_used_at, f.credential_id, f.public_key, f.algorithm, f.sign_count,
    f.backup_eligible, f.backed_up, f.transports, f.aaguid, f.user_handle, f.encrypted_secret,
    coalesce(p.last_step, 0), f.workspace, f.subject, f.mac
FROM stepup.factors AS f
LEFT JOIN stepup.people AS p ON p.workspace = f.workspace AND p.subject = f.subject
WHERE f.workspace = $1 AND f.subject = $2
ORDER BY f.created_at, f.id;

-- name: factor_kinds
SELECT id, kind FROM stepup.factors WHERE workspace = $1 AND subject = $2 ORDER BY created_at, id;

-- name: insert_factor
INSERT INTO stepup.factors (
    id, workspace, subject, kind, name, created_at, last_used_at, credential_id, public_key, algorithm, sign_count,
    backup_eligible, backed_up, transports, aaguid, user_handle, encrypted_secret, mac
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id;

-- name: rename_factor
UPDATE stepup.factors SET name = $1 WHERE id = $2 AND workspace = $3 AND subject = $4;

-- name: remove_factor
DELETE FROM stepup.factors WHERE id = $1 AND workspace = $2 AND subject = $3;

-- name: set_user_handle
INSERT INTO stepup.people (workspace, subject, user_handle) VALUES ($1, $2, $3)
ON CONFLICT (workspace, subject) DO UPDATE SET user_handle = coalesce(people.user_handle, excluded.user_handle)
RETURNING user_handle;

-- name: read_last_step
SELECT last_step FROM stepup.people WHERE workspace = $1 AND subject = $2;

-- name: lock_person
-- Makes the row when there is none, so that there is one to lock.
INSERT INTO stepup.people (workspace, subject) VALUES ($1, $2)
ON CONFLICT (workspace, subject) DO UPDATE SET last_step = people.last_step
RETURNING last_step;

-- name: advance_step
-- RFC 6238 section 5.2: a time-step is accepted once.
INSERT INTO stepup.people (workspace, subject, last_step) VALUES ($1, $2, $3)
ON CONFLICT (workspace, subject) DO UPDATE SET last_step = excluded.last_step
WHERE excluded.last_step > people.last_step;

-- name: begin_enrolment
INSERT INTO stepup.enrolments (
    workspace, subject, session, kind, id, basis, ip, begun_at, expires_at, challenge, encrypted_secret
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (workspace, subject, session, kind) DO UPDATE
SET id = excluded.id, basis = excluded.basis, ip = excluded.ip, begun_at = excluded.begun_at,
    expires_at = excluded.expires_at, challenge = excluded.challenge, encrypted_secret = excluded.encrypted_secret;

-- name: read_enrolment
SELECT id, basis, ip, begun_at, expires_at, challenge, encrypted_secret FROM stepup.enrolments
WHERE workspace = $1 AND subject = $2 AND session = $3 AND kind = $4 AND expires_at > $5 AND id = coalesce($6, id);

-- name: pop_enrolment
DELETE FROM stepup.enrolments
WHERE workspace = $1 AND subject = $2 AND session = $3 AND kind = $4 AND expires_at > $5 AND id = coalesce($6, id)
RETURNING id, basis, ip, begun_at, expires_at, challenge, encrypted_secret;

-- name: drop_enrolment
DELETE FROM stepup.enrolments WHERE id = $1 AND workspace = $2 AND subject = $3;

-- name: mac_keys
SELECT substr(f.mac, 1, 4) FROM stepup.factors AS f
UNION SELECT substr(p.mac, 1, 4) FROM stepup.enrolment_passes AS p
UNION SELECT substr(r.mac, 1, 4) FROM stepup.enrolment_rights AS r
UNION SELECT substr(c.mac, 1, 4) FROM stepup.recovery_codes AS c
UNION SELECT substr(h.mac, 1, 4) FROM stepup.holds AS h
UNION SELECT substr(q.mac, 1, 4) FROM stepup.reset_requests AS q
UNION SELECT substr(k.mac, 1, 4) FROM stepup.known_people AS k;

-- name: factors_after
SELECT
    f.id, f.workspace, f.subject, f.kind, f.sign_count, f.created_at, f.credential_id, f.public_key, f.algorithm,
    f.backup_eligible, f.aaguid, f.user_handle, f.encrypted_secret, f.mac
FROM stepup.factors AS f WHERE f.id > $1 ORDER BY f.id LIMIT $2 FOR UPDATE;
