-- name: note_approval_change
-- Run first: until the commit nobody else changes an approval, so that the numbers grow with the commits.
UPDATE stepup.meta SET approvals = approvals + 1;

-- name: insert_approval
INSERT INTO stepup.approvals (
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac, epoch, changed
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    (SELECT m.epoch FROM stepup.meta AS m), (SELECT m.approvals FROM stepup.meta AS m)
);

-- name: update_approval
-- $1 is the prompt, $2 to $9 are what becomes of it, $10 is the MAC.
UPDATE stepup.approvals SET
    state = $2, tries = $3, matched = $4, decided_at = $5, decider = $6, reason = $7, token = $8, nonce = $9, mac = $10,
    changed = (SELECT m.approvals FROM stepup.meta AS m)
WHERE prompt = $1;

-- name: approvals_after
SELECT
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac
FROM stepup.approvals WHERE prompt > $1 ORDER BY prompt LIMIT $2 FOR UPDATE;

-- name: set_approval_mac
UPDATE stepup.approvals SET mac = $2 WHERE prompt = $1;

-- name: get_approval
SELECT
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac
FROM stepup.approvals WHERE prompt = $1 AND epoch = (SELECT m.epoch FROM stepup.meta AS m);

-- name: approvals_by_code
SELECT
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac
FROM stepup.approvals WHERE code = $1 AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
ORDER BY asked_at DESC LIMIT 4;

-- name: waiting_approvals
SELECT
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac
FROM stepup.approvals
WHERE workspace = $1 AND subject = $2 AND state = 'waiting' AND expires_at > $3
  AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
ORDER BY asked_at, prompt;

-- name: decided_approvals
SELECT
    prompt, workspace, subject, session, purpose, code, digits, asked_at, expires_at, body, state, tries, matched,
    decided_at, decider, reason, token, nonce, mac
FROM stepup.approvals
WHERE workspace = $1 AND subject = $2 AND state IN ('approved', 'denied') AND decided_at > $3
  AND epoch = (SELECT m.epoch FROM stepup.meta AS m)
ORDER BY decided_at DESC, prompt;

-- name: count_approvals
SELECT count(*) FROM stepup.approvals WHERE workspace = $1 AND subject = $2 AND asked_at > $3;

-- name: approval_news
-- At least one row: the epoch, the last number, and the first $2 of the changes after number $1.
SELECT m.epoch, m.approvals, c.changed, c.prompt, c.workspace, c.subject
FROM stepup.meta AS m
LEFT JOIN (
    SELECT a.changed, a.prompt, a.workspace, a.subject FROM stepup.approvals AS a
    WHERE a.changed > $1 ORDER BY a.changed, a.prompt LIMIT $2
) AS c ON TRUE
ORDER BY c.changed, c.prompt;

-- name: purge_approvals
DELETE FROM stepup.approvals WHERE prompt IN (
    SELECT o.prompt FROM stepup.approvals AS o WHERE o.expires_at <= $2 LIMIT $1
);
