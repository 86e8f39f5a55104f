-- Two indexes lead to the records of every kind, where four led to those of one facet. They have the names of two of
-- the four, so that processes of the version before may go on: only their pages by event or outcome alone fail then.

DROP INDEX audit_subject;
DROP INDEX audit_event;
DROP INDEX audit_outcome;
DROP INDEX audit_purpose;
CREATE INDEX audit_subject ON audit (workspace, subject, purpose, event, outcome);
CREATE INDEX audit_purpose ON audit (workspace, purpose, event, outcome);
CREATE INDEX audit_unprompted ON audit (workspace) WHERE prompt = '';
