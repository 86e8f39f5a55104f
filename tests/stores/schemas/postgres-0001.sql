SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
CREATE SCHEMA stepup;
CREATE FUNCTION stepup.check_writer(known_place text, known_seq bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION 'the database is read-only' USING ERRCODE = 'SU003';
    END IF;
    IF current_setting('synchronous_commit') = 'off' OR current_setting('fsync') = 'off' THEN
        RAISE EXCEPTION 'commits would not be durable' USING ERRCODE = 'SU002';
    END IF;
    IF stepup.place() <> known_place
        OR known_place <> (SELECT m.place FROM stepup.meta AS m)
        OR known_seq > (SELECT s.last_value FROM stepup.audit_seq_seq AS s)
    THEN
        RAISE EXCEPTION 'the database is not the one that was open before' USING ERRCODE = 'SU001';
    END IF;
END
$$;
CREATE FUNCTION stepup.place() RETURNS text
    LANGUAGE sql
    SET search_path TO 'pg_catalog'
    AS $$
    SELECT (pg_control_system()).system_identifier::text
        || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
        || '/' || 'stepup.meta'::regclass::oid::text
        || '/' || extract(epoch FROM pg_postmaster_start_time())::text
$$;
CREATE FUNCTION stepup.refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE FUNCTION stepup.refuse_unpurged() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM stepup.chain_starts AS s WHERE s.chain = OLD.chain AND OLD.link <= s.link) THEN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END
$$;
CREATE FUNCTION stepup.settled() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
DECLARE
    last bigint;
    held oid;
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM stepup.audit_seq_seq AS s;
    FOR held IN
        SELECT DISTINCT l.objid FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = 1398030677 AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    LOOP
        PERFORM pg_advisory_xact_lock(1398030677, held::bigint::integer);
    END LOOP;
    RETURN last;
END
$$;
CREATE TABLE stepup.alerts (
    seq bigint NOT NULL,
    at bigint NOT NULL,
    held_until bigint NOT NULL,
    had text[] NOT NULL
);
CREATE TABLE stepup.attempts (
    workspace text NOT NULL,
    subject text NOT NULL,
    bucket text NOT NULL,
    failed bigint NOT NULL,
    closed_until bigint NOT NULL
);
CREATE TABLE stepup.audit (
    seq bigint NOT NULL,
    chain text NOT NULL,
    link bigint NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    event text NOT NULL,
    outcome text NOT NULL,
    purpose text NOT NULL,
    prompt text NOT NULL,
    at bigint NOT NULL,
    body text NOT NULL
);
ALTER TABLE stepup.audit ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME stepup.audit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE stepup.chain_starts (
    chain text NOT NULL,
    link bigint NOT NULL,
    hash bytea NOT NULL,
    purged_at bigint NOT NULL
);
CREATE TABLE stepup.enrolments (
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    kind text NOT NULL,
    id text NOT NULL,
    expires_at bigint NOT NULL,
    challenge bytea NOT NULL,
    encrypted_secret bytea NOT NULL
);
CREATE TABLE stepup.factors (
    id text NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL,
    last_used_at bigint,
    credential_id bytea,
    public_key bytea,
    algorithm bigint,
    sign_count bigint,
    backup_eligible boolean,
    backed_up boolean,
    transports text,
    aaguid text,
    user_handle bytea,
    encrypted_secret bytea,
    CONSTRAINT factors_kind_check CHECK ((kind = ANY (ARRAY['passkey'::text, 'hardware_key'::text, 'totp'::text])))
);
CREATE TABLE stepup.heads (
    number bigint NOT NULL,
    chain text NOT NULL,
    link bigint NOT NULL,
    hash bytea NOT NULL,
    at bigint NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL
);
ALTER TABLE stepup.heads ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME stepup.heads_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE stepup.meta (
    id integer NOT NULL,
    epoch bigint NOT NULL,
    place text NOT NULL,
    hot text DEFAULT ''::text NOT NULL,
    purged_at bigint DEFAULT 0 NOT NULL,
    CONSTRAINT meta_id_check CHECK ((id = 1))
);
CREATE TABLE stepup.people (
    workspace text NOT NULL,
    subject text NOT NULL,
    user_handle bytea,
    last_step bigint DEFAULT 0 NOT NULL
);
CREATE TABLE stepup.policies (
    workspace text NOT NULL,
    purpose text NOT NULL,
    requirement text NOT NULL
);
CREATE TABLE stepup.policy_versions (
    workspace text NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE stepup.prompts (
    number bigint NOT NULL,
    id text NOT NULL,
    epoch bigint NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    state text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    body text NOT NULL,
    token bigint,
    challenge_nonce bytea,
    challenge_factors text[],
    challenge_expires_at bigint,
    CONSTRAINT prompts_state_check CHECK ((state = ANY (ARRAY['open'::text, 'proved'::text, 'cancelled'::text])))
);
ALTER TABLE stepup.prompts ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME stepup.prompts_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE stepup.refused_sessions (
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    logged_at bigint NOT NULL,
    unlogged bigint NOT NULL,
    blocked bigint DEFAULT 0 NOT NULL,
    blocked_until bigint DEFAULT 0 NOT NULL
);
CREATE TABLE stepup.schema_version (
    id integer NOT NULL,
    version integer NOT NULL,
    oldest integer NOT NULL,
    CONSTRAINT schema_version_id_check CHECK ((id = 1))
);
CREATE TABLE stepup.tokens (
    id bigint NOT NULL,
    nonce bytea NOT NULL,
    epoch bigint NOT NULL,
    state text NOT NULL,
    prompt text NOT NULL,
    workspace text NOT NULL,
    subject text NOT NULL,
    session text NOT NULL,
    ip text NOT NULL,
    purpose text NOT NULL,
    requirement text NOT NULL,
    policy_version bigint NOT NULL,
    request_digest bytea NOT NULL,
    details_digest bytea NOT NULL,
    factor text NOT NULL,
    factor_kind text NOT NULL,
    issued_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    attempt bytea,
    redeemed_at bigint,
    redeemed_ip text DEFAULT ''::text NOT NULL,
    redeemed_user_agent text DEFAULT ''::text NOT NULL,
    replays bigint DEFAULT 0 NOT NULL,
    revoked text DEFAULT ''::text NOT NULL,
    CONSTRAINT tokens_state_check CHECK ((state = ANY (ARRAY['issued'::text, 'redeemed'::text, 'revoked'::text])))
)
WITH (fillfactor='60');
ALTER TABLE stepup.tokens ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME stepup.tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE stepup.writers (
    id text NOT NULL,
    free boolean NOT NULL
);
INSERT INTO stepup.alerts VALUES (12, 1795521602000000, 1795521662000000, '{}');
INSERT INTO stepup.attempts VALUES ('w-1', 'u-cosigner', 'totp', 1, 1795521600000000);
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (1, '19536fc99b24b71e/P1Y', 1, '\x0000000000000000000000000000000000000000000000000000000000000000', '\x5d4f2a67a1f845fea93b8e88262f66270231a66c5900f5c9f7cb8672b3168fc3', 'w-1', 'u-owner', 'FACTOR_ENROLLED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"FACTOR_ENROLLED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (2, '19536fc99b24b71e/P1Y', 2, '\x5d4f2a67a1f845fea93b8e88262f66270231a66c5900f5c9f7cb8672b3168fc3', '\x66334be0069d491eeef06026ca4ee2dc735b95a3cdc373d4ee7795b6a55d22a6', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_CHALLENGE_REQUESTED', 'pending', 'payroll_ach_transmit', 'rwrSVRUdoPIQ_iTDVRnhRw', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"rwrSVRUdoPIQ_iTDVRnhRw","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (3, '19536fc99b24b71e/P1Y', 3, '\x66334be0069d491eeef06026ca4ee2dc735b95a3cdc373d4ee7795b6a55d22a6', '\x43e5d31d90699232b4f31fed7643891ba60f2608f22fe8828712e8bd298bd36c', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_VERIFIED', 'success', 'payroll_ach_transmit', 'rwrSVRUdoPIQ_iTDVRnhRw', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"rwrSVRUdoPIQ_iTDVRnhRw","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (4, '19536fc99b24b71e/P1Y', 4, '\x43e5d31d90699232b4f31fed7643891ba60f2608f22fe8828712e8bd298bd36c', '\x538de4ae7b627b523c4fbc71278c54ac6611cd21918aeb35a0b08c71531cf9b8', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_CHALLENGE_REQUESTED', 'pending', 'payroll_ach_transmit', '3MtKWxJOczV9dpKgDrF_XQ', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"3MtKWxJOczV9dpKgDrF_XQ","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (5, '19536fc99b24b71e/P1Y', 5, '\x538de4ae7b627b523c4fbc71278c54ac6611cd21918aeb35a0b08c71531cf9b8', '\xff62df2d46743f339417c079e91ad6708331876e54648d6c6b4f0a2d6baec4d6', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_VERIFIED', 'success', 'payroll_ach_transmit', '3MtKWxJOczV9dpKgDrF_XQ', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"3MtKWxJOczV9dpKgDrF_XQ","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (6, '19536fc99b24b71e/P1Y', 6, '\xff62df2d46743f339417c079e91ad6708331876e54648d6c6b4f0a2d6baec4d6', '\x50c6e9268b6d0138f31c70ffcd0933c824906afbc2f33c9eaef1b492f459bb73', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_CHALLENGE_REQUESTED', 'pending', 'payroll_ach_transmit', 'OdKE_FxUSm_DBi0ZuRojSg', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"OdKE_FxUSm_DBi0ZuRojSg","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (7, '19536fc99b24b71e/P1Y', 7, '\x50c6e9268b6d0138f31c70ffcd0933c824906afbc2f33c9eaef1b492f459bb73', '\xa2ea52cff021a5a78840065c2deecce714bd1cfda08d2cfc17cf216505601789', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_VERIFIED', 'success', 'payroll_ach_transmit', 'OdKE_FxUSm_DBi0ZuRojSg', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"OdKE_FxUSm_DBi0ZuRojSg","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (8, '19536fc99b24b71e/P1Y', 8, '\xa2ea52cff021a5a78840065c2deecce714bd1cfda08d2cfc17cf216505601789', '\x2fc1d36003976745476b4583fa9f2fc2389d43ad347779a61f4fec54da27fb4e', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_CHALLENGE_REQUESTED', 'pending', 'payroll_ach_transmit', 'ElqYjV2xe0bd9WHOE4nVPw', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"ElqYjV2xe0bd9WHOE4nVPw","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (9, '19536fc99b24b71e/P1Y', 9, '\x2fc1d36003976745476b4583fa9f2fc2389d43ad347779a61f4fec54da27fb4e', '\xc016e6651a53cfcdf1ecc65686135cf8730371a95e7003caf99619012903c5c0', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_VERIFIED', 'success', 'payroll_ach_transmit', 'ElqYjV2xe0bd9WHOE4nVPw', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"ElqYjV2xe0bd9WHOE4nVPw","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (10, '19536fc99b24b71e/P1Y', 10, '\xc016e6651a53cfcdf1ecc65686135cf8730371a95e7003caf99619012903c5c0', '\xaa56e771575e5be4c73227676fb0632ec45eda50dfb4f46910abc0c5b6706a60', 'w-1', 'u-owner', 'ACTION_AUTHORIZED', 'success', 'payroll_ach_transmit', '3MtKWxJOczV9dpKgDrF_XQ', 1795521602000000, '{"at":"2026-11-24T12:00:02Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACTION_AUTHORIZED","factor":"passkey","factor_id":"3d20c55a01746281","flags":[],"ip":"192.0.2.7","outcome":"success","policy_version":0,"prompt":"3MtKWxJOczV9dpKgDrF_XQ","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (11, '19536fc99b24b71e/P1Y', 11, '\xaa56e771575e5be4c73227676fb0632ec45eda50dfb4f46910abc0c5b6706a60', '\x5210f1ca825602ddb7bb73df83a698202e188c1e8973e397fcbc9eb383d2d2aa', 'w-1', 'u-owner', 'ACTION_AUTHORIZED', 'success', 'payroll_ach_transmit', 'OdKE_FxUSm_DBi0ZuRojSg', 1795521602000000, '{"at":"2026-11-24T12:00:02Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACTION_AUTHORIZED","factor":"passkey","factor_id":"3d20c55a01746281","flags":[],"ip":"192.0.2.7","outcome":"success","policy_version":0,"prompt":"OdKE_FxUSm_DBi0ZuRojSg","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (12, '19536fc99b24b71e/P1Y', 12, '\x5210f1ca825602ddb7bb73df83a698202e188c1e8973e397fcbc9eb383d2d2aa', '\x4349cbd34b4213e1dd5e49c055bc32566c20ac540526285920a75fdb213257d3', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_REUSED', 'denied', 'payroll_ach_transmit', 'OdKE_FxUSm_DBi0ZuRojSg', 1795521602000000, '{"at":"2026-11-24T12:00:02Z","data":{"count":1,"likely_retry":true,"redeemed":{"at":"2026-11-24T12:00:02Z","ip":"192.0.2.7","session":"dd17a0cbfceef315af159e2eb460a9f5","subject":"u-owner","user_agent":"Firefox"}},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_REUSED","factor":"passkey","factor_id":"3d20c55a01746281","flags":["redeemed_before"],"ip":"192.0.2.7","outcome":"denied","policy_version":0,"prompt":"OdKE_FxUSm_DBi0ZuRojSg","purpose":"payroll_ach_transmit","reason":"redeemed_before","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"critical","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (13, '19536fc99b24b71e/P1Y', 13, '\x4349cbd34b4213e1dd5e49c055bc32566c20ac540526285920a75fdb213257d3', '\xc1858b18e78955b375b5290a20e72e4f3185e28abb6b49270083cd7b5b2bf4d3', 'w-1', 'u-owner', 'ACCOUNT_STEPUP_BLOCKED', 'denied', 'payroll_ach_transmit', 'ElqYjV2xe0bd9WHOE4nVPw', 1795521602000000, '{"at":"2026-11-24T12:00:02Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_BLOCKED","factor":"passkey","factor_id":"3d20c55a01746281","flags":["wrong_session"],"ip":"192.0.2.7","outcome":"denied","policy_version":0,"prompt":"ElqYjV2xe0bd9WHOE4nVPw","purpose":"payroll_ach_transmit","reason":"wrong_session","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"another","severity":"warning","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (14, '19536fc99b24b71e/P1Y', 14, '\xc1858b18e78955b375b5290a20e72e4f3185e28abb6b49270083cd7b5b2bf4d3', '\x6faad802fb3cc0b6f22e18778be4b9d157e07f39e79e5434c614f47691344f89', 'w-1', 'u-cosigner', 'FACTOR_ENROLLED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"FACTOR_ENROLLED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-cosigner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (15, '19536fc99b24b71e/P1Y', 15, '\x6faad802fb3cc0b6f22e18778be4b9d157e07f39e79e5434c614f47691344f89', '\x040a96178b20636b423ef9e33ce03e8770a1e2add48017667b7bae19af4f0c6a', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (16, '19536fc99b24b71e/P1Y', 16, '\x040a96178b20636b423ef9e33ce03e8770a1e2add48017667b7bae19af4f0c6a', '\xbbbf6388b52fcf943a69bce00c1bf0697973ecc97043f9a15e85594e5144ec0b', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (17, '19536fc99b24b71e/P1Y', 17, '\xbbbf6388b52fcf943a69bce00c1bf0697973ecc97043f9a15e85594e5144ec0b', '\x23dda2414eebdd22dda412b4d0a49e56c89cf2cc422d4f8ba4cef815003e5fb2', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (18, '19536fc99b24b71e/P1Y', 18, '\x23dda2414eebdd22dda412b4d0a49e56c89cf2cc422d4f8ba4cef815003e5fb2', '\x219babf4b5eb2f7d538bc3ea0e26eeb897bb2be6e73563f8c2ab76fae14afd0a', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (19, '19536fc99b24b71e/P1Y', 19, '\x219babf4b5eb2f7d538bc3ea0e26eeb897bb2be6e73563f8c2ab76fae14afd0a', '\x4bb61e9ca69ea63529cbdd48abdd57770689fde39539a7ce2e01ff724b58f6b8', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.audit OVERRIDING SYSTEM VALUE VALUES (20, '19536fc99b24b71e/P1Y', 20, '\x4bb61e9ca69ea63529cbdd48abdd57770689fde39539a7ce2e01ff724b58f6b8', '\xc112a8fe1f0e9582e4f562de312a5a658992138f89154ead906347f3a74d0bea', 'w-1', 'u-owner', 'POLICY_CHANGED', 'success', '', '', 1795521600000000, '{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO stepup.factors VALUES ('3d20c55a01746281', 'w-1', 'u-owner', 'passkey', 'Laptop', 1795521600000000, 1795521601000000, '\x496b31dac04613521864b5f5f51fb9d094d00f78c6e100ad772b4e3d6af36431', '\xa50102', -7, 0, true, true, '["internal", "hybrid"]', '01020304-0102-0304-0102-030401020304', '\x00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000', NULL);
INSERT INTO stepup.factors VALUES ('3553d7b3cf59f2cc', 'w-1', 'u-cosigner', 'totp', 'Phone', 1795521600000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '\x736094531014b40c9ff9fa2351bb0b9bf5d20dfe5db51b139d58c969fd7d8b29c3bc1e568ecadeb7');
INSERT INTO stepup.meta VALUES (1, 1, '7711821226679838074/00000001/16395/1795548300.566187', '', 0);
INSERT INTO stepup.people VALUES ('w-1', 'u-cosigner', NULL, 100);
INSERT INTO stepup.policies VALUES ('w-1', 'webhook_secret_rotation', 'phishing_resistant');
INSERT INTO stepup.policy_versions VALUES ('w-1', 1);
INSERT INTO stepup.prompts OVERRIDING SYSTEM VALUE VALUES (1, 'rwrSVRUdoPIQ_iTDVRnhRw', 1, 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', 'proved', 1795521600000000, 1795521900000000, '{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["3d20c55a01746281"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}', 1, NULL, NULL, NULL);
INSERT INTO stepup.prompts OVERRIDING SYSTEM VALUE VALUES (2, '3MtKWxJOczV9dpKgDrF_XQ', 1, 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', 'proved', 1795521600000000, 1795521900000000, '{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["3d20c55a01746281"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}', 2, NULL, NULL, NULL);
INSERT INTO stepup.prompts OVERRIDING SYSTEM VALUE VALUES (3, 'OdKE_FxUSm_DBi0ZuRojSg', 1, 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', 'proved', 1795521600000000, 1795521900000000, '{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["3d20c55a01746281"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}', 3, NULL, NULL, NULL);
INSERT INTO stepup.prompts OVERRIDING SYSTEM VALUE VALUES (4, 'ElqYjV2xe0bd9WHOE4nVPw', 1, 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', 'proved', 1795521600000000, 1795521900000000, '{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["3d20c55a01746281"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}', 4, NULL, NULL, NULL);
INSERT INTO stepup.schema_version VALUES (1, 1, 1);
INSERT INTO stepup.tokens OVERRIDING SYSTEM VALUE VALUES (1, '\x4e42498c2e8cf073f7bae6691345a7d7', 1, 'issued', 'rwrSVRUdoPIQ_iTDVRnhRw', 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', '192.0.2.7', 'payroll_ach_transmit', 'phishing_resistant', 0, '\x1ebec0f2dc44ff641c7a3298b6e41588269f07420acd620b2c3fbc84da352d97', '\x17cadf4acf31cc13140f1498a0d784d246682cd41a6427b2545d6e8cf989eff7', '3d20c55a01746281', 'passkey', 1795521601000000, 1795521661000000, NULL, NULL, '', '', 0, '');
INSERT INTO stepup.tokens OVERRIDING SYSTEM VALUE VALUES (2, '\x1046c00be5b6d4cfbb10741f8f6c4303', 1, 'redeemed', '3MtKWxJOczV9dpKgDrF_XQ', 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', '192.0.2.7', 'payroll_ach_transmit', 'phishing_resistant', 0, '\x1ebec0f2dc44ff641c7a3298b6e41588269f07420acd620b2c3fbc84da352d97', '\x17cadf4acf31cc13140f1498a0d784d246682cd41a6427b2545d6e8cf989eff7', '3d20c55a01746281', 'passkey', 1795521601000000, 1795521661000000, '\xe95c4fcd8ab4e434999884fd3a900301', 1795521602000000, '192.0.2.7', 'Firefox', 0, '');
INSERT INTO stepup.tokens OVERRIDING SYSTEM VALUE VALUES (3, '\x1ce557b01f48d2599c7cc4a2f47068d9', 1, 'redeemed', 'OdKE_FxUSm_DBi0ZuRojSg', 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', '192.0.2.7', 'payroll_ach_transmit', 'phishing_resistant', 0, '\x1ebec0f2dc44ff641c7a3298b6e41588269f07420acd620b2c3fbc84da352d97', '\x17cadf4acf31cc13140f1498a0d784d246682cd41a6427b2545d6e8cf989eff7', '3d20c55a01746281', 'passkey', 1795521601000000, 1795521661000000, '\xcb6660bc862ebe43a71432920f14277b', 1795521602000000, '192.0.2.7', 'Firefox', 1, '');
INSERT INTO stepup.tokens OVERRIDING SYSTEM VALUE VALUES (4, '\x9029dd03d14e6ca5505100e505ba3b1b', 1, 'revoked', 'ElqYjV2xe0bd9WHOE4nVPw', 'w-1', 'u-owner', 'dd17a0cbfceef315af159e2eb460a9f5', '192.0.2.7', 'payroll_ach_transmit', 'phishing_resistant', 0, '\x1ebec0f2dc44ff641c7a3298b6e41588269f07420acd620b2c3fbc84da352d97', '\x17cadf4acf31cc13140f1498a0d784d246682cd41a6427b2545d6e8cf989eff7', '3d20c55a01746281', 'passkey', 1795521601000000, 1795521661000000, NULL, NULL, '', '', 0, 'wrong_holder');
INSERT INTO stepup.writers VALUES ('19536fc99b24b71e', true);
SELECT pg_catalog.setval('stepup.audit_seq_seq', 20, true);
SELECT pg_catalog.setval('stepup.heads_number_seq', 1, false);
SELECT pg_catalog.setval('stepup.prompts_number_seq', 4, true);
SELECT pg_catalog.setval('stepup.tokens_id_seq', 4, true);
ALTER TABLE ONLY stepup.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY stepup.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (workspace, subject, bucket);
ALTER TABLE ONLY stepup.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY stepup.chain_starts
    ADD CONSTRAINT chain_starts_pkey PRIMARY KEY (chain);
ALTER TABLE ONLY stepup.enrolments
    ADD CONSTRAINT enrolments_id_key UNIQUE (id);
ALTER TABLE ONLY stepup.enrolments
    ADD CONSTRAINT enrolments_pkey PRIMARY KEY (workspace, subject, session, kind);
ALTER TABLE ONLY stepup.factors
    ADD CONSTRAINT factors_credential_id_key UNIQUE (credential_id);
ALTER TABLE ONLY stepup.factors
    ADD CONSTRAINT factors_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stepup.heads
    ADD CONSTRAINT heads_pkey PRIMARY KEY (number);
ALTER TABLE ONLY stepup.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stepup.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (workspace, subject);
ALTER TABLE ONLY stepup.policies
    ADD CONSTRAINT policies_pkey PRIMARY KEY (workspace, purpose);
ALTER TABLE ONLY stepup.policy_versions
    ADD CONSTRAINT policy_versions_pkey PRIMARY KEY (workspace);
ALTER TABLE ONLY stepup.prompts
    ADD CONSTRAINT prompts_id_key UNIQUE (id);
ALTER TABLE ONLY stepup.prompts
    ADD CONSTRAINT prompts_pkey PRIMARY KEY (number);
ALTER TABLE ONLY stepup.refused_sessions
    ADD CONSTRAINT refused_sessions_pkey PRIMARY KEY (workspace, subject, session);
ALTER TABLE ONLY stepup.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stepup.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stepup.writers
    ADD CONSTRAINT writers_pkey PRIMARY KEY (id);
CREATE INDEX audit_at ON stepup.audit USING btree (at);
CREATE UNIQUE INDEX audit_chain ON stepup.audit USING btree (chain, link);
CREATE INDEX audit_event ON stepup.audit USING btree (workspace, event, seq);
CREATE INDEX audit_outcome ON stepup.audit USING btree (workspace, outcome, seq) WHERE (outcome = ANY (ARRAY['failure'::text, 'denied'::text]));
CREATE INDEX audit_prompt ON stepup.audit USING btree (prompt) WHERE (prompt <> ''::text);
CREATE INDEX audit_purpose ON stepup.audit USING btree (workspace, purpose, seq);
CREATE INDEX audit_subject ON stepup.audit USING btree (workspace, subject, seq);
CREATE INDEX audit_workspace ON stepup.audit USING btree (workspace, seq);
CREATE INDEX audit_workspace_at ON stepup.audit USING btree (workspace, at);
CREATE INDEX factors_by_person ON stepup.factors USING btree (workspace, subject);
CREATE INDEX heads_of_chain ON stepup.heads USING btree (chain, link);
CREATE INDEX prompts_by_session ON stepup.prompts USING btree (workspace, subject, session);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON stepup.audit FOR EACH ROW EXECUTE FUNCTION stepup.refuse('the audit log is append-only');
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON stepup.audit FOR EACH STATEMENT EXECUTE FUNCTION stepup.refuse('the audit log is append-only');
CREATE TRIGGER audit_is_only_purged BEFORE DELETE ON stepup.audit FOR EACH ROW EXECUTE FUNCTION stepup.refuse_unpurged();
CREATE TRIGGER chain_starts_are_never_emptied BEFORE TRUNCATE ON stepup.chain_starts FOR EACH STATEMENT EXECUTE FUNCTION stepup.refuse('a chain start only advances');
CREATE TRIGGER chain_starts_only_advance BEFORE UPDATE ON stepup.chain_starts FOR EACH ROW WHEN (((new.chain <> old.chain) OR (new.link <= old.link))) EXECUTE FUNCTION stepup.refuse('a chain start only advances');
CREATE TRIGGER chain_starts_stay BEFORE DELETE ON stepup.chain_starts FOR EACH ROW EXECUTE FUNCTION stepup.refuse('a chain start only advances');
CREATE TRIGGER tokens_stay_redeemed BEFORE UPDATE ON stepup.tokens FOR EACH ROW WHEN (((old.state <> 'issued'::text) AND (new.state <> old.state))) EXECUTE FUNCTION stepup.refuse('a redeemed or revoked token never changes its state');
