-- name: list_factors
SELECT
    f.id, f.kind, f.name, f.created_at, f.last_used_at, f.credential_id, f.public_key, f.algorithm, f.sign_count,
    f.backup_eligible, f.backed_up, f.transports, f.aaguid, f.user_handle, f.encrypted_secret,
    coalesce(p.last_step, 0)
FROM factors AS f LEFT JOIN people AS p ON p.workspace = f.workspace AND p.subject = f.subject
WHERE f.workspace = ? AND f.subject = ?
ORDER BY f.created_at, f.id;

-- name: factor_kinds
SELECT id, kind FROM factors WHERE workspace = ? AND subject = ? ORDER BY created_at, id;

-- name: read_factor
SELECT kind, sign_count FROM factors WHERE id = ? AND workspace = ? AND subject = ?;

-- name: use_webauthn_factor
UPDATE factors SET sign_count = ?, backed_up = coalesce(?, backed_up), last_used_at = ? WHERE id = ?;

-- name: use_totp_factor
UPDATE factors SET last_used_at = ? WHERE id = ?;

-- name: insert_factor
INSERT INTO factors (
    id, workspace, subject, kind, name, created_at, last_used_at, credential_id, public_key, algorithm, sign_count,
    backup_eligible, backed_up, transports, aaguid, user_handle, encrypted_secret
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: credential_is_known
SELECT 1 FROM factors WHERE credential_id = ?;

-- name: rename_factor
UPDATE factors SET name = ? WHERE id = ? AND workspace = ? AND subject = ?;

-- name: remove_factor
DELETE FROM factors WHERE id = ? AND workspace = ? AND subject = ?;

-- name: read_user_handle
SELECT user_handle FROM people WHERE workspace = ? AND subject = ? AND user_handle IS NOT NULL;

-- name: set_user_handle
INSERT INTO people (workspace, subject, user_handle) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET user_handle = excluded.user_handle WHERE user_handle IS NULL;

-- name: read_last_step
SELECT last_step FROM people WHERE workspace = ? AND subject = ?;

-- name: advance_step
-- RFC 6238 section 5.2: a time-step is accepted once.
INSERT INTO people (workspace, subject, last_step) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET last_step = excluded.last_step WHERE excluded.last_step > last_step;

-- name: begin_enrolment
INSERT INTO enrolments (workspace, subject, session, kind, id, expires_at, challenge, encrypted_secret)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workspace, subject, session, kind) DO UPDATE
SET id = excluded.id, expires_at = excluded.expires_at, challenge = excluded.challenge,
    encrypted_secret = excluded.encrypted_secret;

-- name: read_enrolment
SELECT id, expires_at, challenge, encrypted_secret FROM enrolments
WHERE workspace = :workspace AND subject = :subject AND session = :session AND kind = :kind
  AND expires_at > :now AND (:id IS NULL OR id = :id);

-- name: drop_enrolment
DELETE FROM enrolments WHERE id = ? AND workspace = ? AND subject = ?;

-- name: secrets_after
SELECT id, encrypted_secret FROM factors WHERE kind = 'totp' AND id > ? ORDER BY id LIMIT ?;

-- name: set_secret
UPDATE factors SET encrypted_secret = ? WHERE id = ?;
