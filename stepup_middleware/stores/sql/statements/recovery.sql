-- name: last_pass
-- This and the next ones give a row once for each record of the log from which it follows whether it counts.
SELECT
    r.workspace, r.subject, r.id, r.digest, r.issued_at, r.issued_by, r.expires_at, r.tries, r.used_at, r.mac,
    l.seq, l.body, l.entry, l.id, l.mac,
    EXISTS (SELECT 1 FROM stepup.leaves AS v WHERE v.record_id = l.id AND v.entry = l.entry)
FROM stepup.enrolment_passes AS r LEFT JOIN stepup.audit AS l ON l.workspace = r.workspace AND l.person = r.subject
WHERE r.workspace = $1 AND r.subject = $2 ORDER BY l.seq;

-- name: put_pass
INSERT INTO stepup.enrolment_passes (
    workspace, subject, id, digest, issued_at, issued_by, expires_at, tries, used_at, mac
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (workspace, subject) DO UPDATE SET
    id = excluded.id, digest = excluded.digest, issued_at = excluded.issued_at, issued_by = excluded.issued_by,
    expires_at = excluded.expires_at, tries = excluded.tries, used_at = excluded.used_at, mac = excluded.mac;

-- name: take_back_passes
DELETE FROM stepup.enrolment_passes WHERE workspace = $1 AND issued_by = $2 AND used_at IS NULL RETURNING subject;

-- name: drop_pass
DELETE FROM stepup.enrolment_passes WHERE workspace = $1 AND subject = $2;

-- name: read_right
SELECT
    r.workspace, r.subject, r.session, r.ip, r.basis, r.expires_at, r.mac,
    l.seq, l.body, l.entry, l.id, l.mac,
    EXISTS (SELECT 1 FROM stepup.leaves AS v WHERE v.record_id = l.id AND v.entry = l.entry)
FROM stepup.enrolment_rights AS r LEFT JOIN stepup.audit AS l ON l.workspace = r.workspace AND l.person = r.subject
WHERE r.workspace = $1 AND r.subject = $2 ORDER BY l.seq;

-- name: put_right
INSERT INTO stepup.enrolment_rights (workspace, subject, session, ip, basis, expires_at, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace, subject) DO UPDATE SET
    session = excluded.session, ip = excluded.ip, basis = excluded.basis, expires_at = excluded.expires_at,
    mac = excluded.mac;

-- name: drop_right
DELETE FROM stepup.enrolment_rights WHERE workspace = $1 AND subject = $2;

-- name: read_codes
SELECT
    r.workspace, r.subject, r.id, r.made_at, r.salt, r.hashes, r.used, r.mac,
    l.seq, l.body, l.entry, l.id, l.mac,
    EXISTS (SELECT 1 FROM stepup.leaves AS v WHERE v.record_id = l.id AND v.entry = l.entry)
FROM stepup.recovery_codes AS r LEFT JOIN stepup.audit AS l ON l.workspace = r.workspace AND l.person = r.subject
WHERE r.workspace = $1 AND r.subject = $2 ORDER BY l.seq;

-- name: put_codes
INSERT INTO stepup.recovery_codes (workspace, subject, id, made_at, salt, hashes, used, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (workspace, subject) DO UPDATE SET
    id = excluded.id, made_at = excluded.made_at, salt = excluded.salt, hashes = excluded.hashes,
    used = excluded.used, mac = excluded.mac;

-- name: drop_codes
DELETE FROM stepup.recovery_codes WHERE workspace = $1 AND subject = $2;

-- name: read_hold
SELECT max(held) FROM stepup.audit WHERE workspace = $1 AND person = $2;

-- name: put_request
INSERT INTO stepup.reset_requests (
    workspace, subject, id, subject_name, reason, requested_by, requested_by_name, requested_at, expires_at, with_pass,
    mac
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (workspace, subject) DO UPDATE SET
    id = excluded.id, subject_name = excluded.subject_name, reason = excluded.reason,
    requested_by = excluded.requested_by, requested_by_name = excluded.requested_by_name,
    requested_at = excluded.requested_at, expires_at = excluded.expires_at, with_pass = excluded.with_pass,
    mac = excluded.mac;

-- name: read_requests
SELECT
    r.workspace, r.subject, r.id, r.subject_name, r.reason, r.requested_by, r.requested_by_name, r.requested_at,
    r.expires_at, r.with_pass, r.mac,
    l.seq, l.body, l.entry, l.id, l.mac,
    EXISTS (SELECT 1 FROM stepup.leaves AS v WHERE v.record_id = l.id AND v.entry = l.entry)
FROM stepup.reset_requests AS r LEFT JOIN stepup.audit AS l ON l.workspace = r.workspace AND l.person = r.subject
WHERE r.workspace = $1 AND r.expires_at > $2 ORDER BY r.requested_at, r.id, r.subject, l.seq;

-- name: drop_request
DELETE FROM stepup.reset_requests WHERE workspace = $1 AND subject = $2 AND id = coalesce($3, id);

-- name: remove_factors_of_person
DELETE FROM stepup.factors WHERE workspace = $1 AND subject = $2;

-- name: drop_enrolments_of_person
DELETE FROM stepup.enrolments WHERE workspace = $1 AND subject = $2;

-- name: clear_attempts_of_person
DELETE FROM stepup.attempts WHERE workspace = $1 AND subject = $2;

-- name: cancel_prompts_of_person
UPDATE stepup.prompts
SET state = 'cancelled', challenge_nonce = NULL, challenge_factors = NULL, challenge_expires_at = NULL
WHERE workspace = $1 AND subject = $2 AND state <> 'cancelled'
RETURNING token;

-- name: note_person
INSERT INTO stepup.known_people (workspace, subject, name, login, sort, search, mac)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace, subject) DO UPDATE SET
    name = excluded.name, login = excluded.login, sort = excluded.sort, search = excluded.search, mac = excluded.mac;

-- name: get_person
SELECT workspace, subject, name, login, sort, search, mac FROM stepup.known_people
WHERE workspace = $1 AND subject = $2;

-- name: people
-- $2 is a pattern; $3 the strength that their factors lack, -1 for whatever; $4 whether they have any, -1 likewise;
-- $5 and $6 the sort and the id after which to begin.
SELECT p.workspace, p.subject, p.name, p.login, p.sort, p.search, p.mac FROM stepup.known_people AS p
WHERE p.workspace = $1 AND p.search LIKE $2 ESCAPE '!'
  AND ($3 < 0 OR NOT EXISTS (
      SELECT 1 FROM stepup.factors AS f WHERE f.workspace = p.workspace AND f.subject = p.subject
      AND ($3 = 0 OR f.kind IN ('passkey', 'hardware_key'))
  ))
  AND ($4 < 0 OR ($4 = 1) = EXISTS (
      SELECT 1 FROM stepup.factors AS f WHERE f.workspace = p.workspace AND f.subject = p.subject
  ))
  AND (p.sort, p.subject) > ($5, $6)
ORDER BY p.sort, p.subject LIMIT $7;

-- name: count_people
SELECT count(*) FROM stepup.known_people AS p
WHERE p.workspace = $1 AND p.search LIKE $2 ESCAPE '!'
  AND ($3 < 0 OR NOT EXISTS (
      SELECT 1 FROM stepup.factors AS f WHERE f.workspace = p.workspace AND f.subject = p.subject
      AND ($3 = 0 OR f.kind IN ('passkey', 'hardware_key'))
  ))
  AND ($4 < 0 OR ($4 = 1) = EXISTS (
      SELECT 1 FROM stepup.factors AS f WHERE f.workspace = p.workspace AND f.subject = p.subject
  ));

-- name: purge_passes
DELETE FROM stepup.enrolment_passes WHERE (workspace, subject) IN (
    SELECT o.workspace, o.subject FROM stepup.enrolment_passes AS o WHERE o.expires_at <= $2 LIMIT $1
);

-- name: purge_rights
DELETE FROM stepup.enrolment_rights WHERE (workspace, subject) IN (
    SELECT o.workspace, o.subject FROM stepup.enrolment_rights AS o WHERE o.expires_at <= $2 LIMIT $1
);

-- name: purge_reset_requests
DELETE FROM stepup.reset_requests WHERE (workspace, subject) IN (
    SELECT o.workspace, o.subject FROM stepup.reset_requests AS o WHERE o.expires_at <= $2 LIMIT $1
);

-- name: passes_after
SELECT workspace, subject, id, digest, issued_at, issued_by, expires_at, tries, used_at, mac
FROM stepup.enrolment_passes WHERE (workspace, subject) > ($1, $2) ORDER BY workspace, subject LIMIT $3 FOR UPDATE;

-- name: rights_after
SELECT workspace, subject, session, ip, basis, expires_at, mac FROM stepup.enrolment_rights
WHERE (workspace, subject) > ($1, $2) ORDER BY workspace, subject LIMIT $3 FOR UPDATE;

-- name: codes_after
SELECT workspace, subject, id, made_at, salt, hashes, used, mac FROM stepup.recovery_codes
WHERE (workspace, subject) > ($1, $2) ORDER BY workspace, subject LIMIT $3 FOR UPDATE;

-- name: requests_after
SELECT
    workspace, subject, id, subject_name, reason, requested_by, requested_by_name, requested_at, expires_at, with_pass,
    mac
FROM stepup.reset_requests WHERE (workspace, subject) > ($1, $2) ORDER BY workspace, subject LIMIT $3 FOR UPDATE;

-- name: people_after
SELECT workspace, subject, name, login, sort, search, mac FROM stepup.known_people
WHERE (workspace, subject) > ($1, $2) ORDER BY workspace, subject LIMIT $3 FOR UPDATE;
