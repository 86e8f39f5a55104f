-- Adds tables and columns alone: processes of the version before may go on using the database.

ALTER TABLE meta ADD COLUMN oldest INTEGER NOT NULL DEFAULT 1;   -- the oldest schema whose code may use the database
ALTER TABLE meta ADD COLUMN purged_at INTEGER NOT NULL DEFAULT 0; -- when a purge last believed the clock

-- Requests refused for want of a factor count like prompts until their five minutes are over.
ALTER TABLE refused_sessions ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE refused_sessions ADD COLUMN blocked_until INTEGER NOT NULL DEFAULT 0;

-- Critical alerts that not every sink has been handed yet.
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,        -- the record of the log
    at INTEGER NOT NULL,
    held_until INTEGER NOT NULL,    -- until then a process is handing it over
    had TEXT NOT NULL               -- a JSON list of the sinks that have had it
);

-- The first replay of a token is an alert, further ones are only counted. The text is canonical, and no string in it
-- has a bare quotation mark; JSON functions are not to be had under trusted_schema = OFF. Whoever writes it, also a process of
-- the version before, hands it over itself; it has a minute before others do.
CREATE TRIGGER audit_alerts AFTER INSERT ON audit
WHEN NEW.event = 'ACCOUNT_STEPUP_REUSED' AND instr(NEW.body, '"data":{"count":1,')
BEGIN
    INSERT INTO alerts (seq, at, held_until, had) VALUES (NEW.seq, NEW.at, NEW.at + 60000000, '[]');
END;
