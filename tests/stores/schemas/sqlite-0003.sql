PRAGMA application_id = 1400132976;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,        -- the record of the log
    at INTEGER NOT NULL,
    held_until INTEGER NOT NULL,    -- until then a process is handing it over
    had TEXT NOT NULL               -- a JSON list of the sinks that have had it
);
CREATE TABLE attempts (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    bucket TEXT NOT NULL,
    failed INTEGER NOT NULL,
    closed_until INTEGER NOT NULL,
    PRIMARY KEY (workspace, subject, bucket)
) WITHOUT ROWID;
INSERT INTO "attempts" VALUES('w-1','u-cosigner','totp',1,1795521600000000);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    chain TEXT NOT NULL,
    link INTEGER NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL,
    purpose TEXT NOT NULL,
    prompt TEXT NOT NULL,
    at INTEGER NOT NULL,
    high INTEGER NOT NULL,          -- the latest time of this and all earlier records: grows with seq
    body TEXT NOT NULL
);
INSERT INTO "audit" VALUES(1,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',1,X'0000000000000000000000000000000000000000000000000000000000000000',X'41275AC00B0165244BA267EE814EFE08D4F7B41E147B3FC2EA424204B679DA4C','w-1','u-owner','FACTOR_ENROLLED','success','','',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"FACTOR_ENROLLED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(2,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',2,X'41275AC00B0165244BA267EE814EFE08D4F7B41E147B3FC2EA424204B679DA4C',X'6741886DBF7B77DBE0399B7AB7D8A8B256DB4F182B9103DFB34729945549B40E','w-1','u-owner','ACCOUNT_STEPUP_CHALLENGE_REQUESTED','pending','payroll_ach_transmit','n7w3H5NzQtcfy0gOAysbDg',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"n7w3H5NzQtcfy0gOAysbDg","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(3,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',3,X'6741886DBF7B77DBE0399B7AB7D8A8B256DB4F182B9103DFB34729945549B40E',X'C2F7BF3586ADB0953FCAF94B5051E07F03F793E9F93FDC9093179F5417912450','w-1','u-owner','ACCOUNT_STEPUP_VERIFIED','success','payroll_ach_transmit','n7w3H5NzQtcfy0gOAysbDg',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"n7w3H5NzQtcfy0gOAysbDg","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(4,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',4,X'C2F7BF3586ADB0953FCAF94B5051E07F03F793E9F93FDC9093179F5417912450',X'6C7769CEA433282DD24D4B095F17FB5DFBCD46671453FA42EE634BBD11BDBEEC','w-1','u-owner','ACCOUNT_STEPUP_CHALLENGE_REQUESTED','pending','payroll_ach_transmit','xV7Iz35HQIj6AAQunIormQ',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"xV7Iz35HQIj6AAQunIormQ","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(5,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',5,X'6C7769CEA433282DD24D4B095F17FB5DFBCD46671453FA42EE634BBD11BDBEEC',X'E93BC0E3D023D1C867E7835ED285B3A12C7C1DAF391F7FF337569970011D787D','w-1','u-owner','ACCOUNT_STEPUP_VERIFIED','success','payroll_ach_transmit','xV7Iz35HQIj6AAQunIormQ',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"xV7Iz35HQIj6AAQunIormQ","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(6,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',6,X'E93BC0E3D023D1C867E7835ED285B3A12C7C1DAF391F7FF337569970011D787D',X'EFCA4FCB7BB016B8A7046C27AF8015A8EF409CB371C302E3EF598C3B1B747871','w-1','u-owner','ACCOUNT_STEPUP_CHALLENGE_REQUESTED','pending','payroll_ach_transmit','7V8H_ubVn0rCUCOsbzGmmA',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"7V8H_ubVn0rCUCOsbzGmmA","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(7,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',7,X'EFCA4FCB7BB016B8A7046C27AF8015A8EF409CB371C302E3EF598C3B1B747871',X'C2289E7B7374EB41AFEE2BDE574900F57F80537B41ABB9E656EB71FADEA1AD3D','w-1','u-owner','ACCOUNT_STEPUP_VERIFIED','success','payroll_ach_transmit','7V8H_ubVn0rCUCOsbzGmmA',1795521600000000,1795521600000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"ACCOUNT_STEPUP_VERIFIED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"7V8H_ubVn0rCUCOsbzGmmA","purpose":"payroll_ach_transmit","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(8,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',8,X'C2289E7B7374EB41AFEE2BDE574900F57F80537B41ABB9E656EB71FADEA1AD3D',X'E8C5A57E28B96CCC47381EFCA6586C4F414803B927BEE556FEFF476B9935FAD1','w-1','u-owner','ACTION_AUTHORIZED','success','payroll_ach_transmit','xV7Iz35HQIj6AAQunIormQ',1795521602000000,1795521602000000,'{"at":"2026-11-24T12:00:02Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACTION_AUTHORIZED","factor":"passkey","factor_id":"a80620b9f6da5382","flags":[],"ip":"192.0.2.7","outcome":"success","policy_version":0,"prompt":"xV7Iz35HQIj6AAQunIormQ","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(9,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',9,X'E8C5A57E28B96CCC47381EFCA6586C4F414803B927BEE556FEFF476B9935FAD1',X'16D65EBDAC38D707532DF79F201095F2D938A3CCF66652E6228691A9A04D7842','w-1','u-owner','ACTION_AUTHORIZED','success','payroll_ach_transmit','7V8H_ubVn0rCUCOsbzGmmA',1795521602000000,1795521602000000,'{"at":"2026-11-24T12:00:02Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACTION_AUTHORIZED","factor":"passkey","factor_id":"a80620b9f6da5382","flags":[],"ip":"192.0.2.7","outcome":"success","policy_version":0,"prompt":"7V8H_ubVn0rCUCOsbzGmmA","purpose":"payroll_ach_transmit","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"info","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(10,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',10,X'16D65EBDAC38D707532DF79F201095F2D938A3CCF66652E6228691A9A04D7842',X'31B269315DF38B8EC7975548A7239469AE6F22F4468FA6119F45299C80308230','w-1','u-owner','ACCOUNT_STEPUP_REUSED','denied','payroll_ach_transmit','7V8H_ubVn0rCUCOsbzGmmA',1795521602000000,1795521602000000,'{"at":"2026-11-24T12:00:02Z","data":{"count":1,"likely_retry":true,"redeemed":{"at":"2026-11-24T12:00:02Z","ip":"192.0.2.7","session":"dd17a0cbfceef315af159e2eb460a9f5","subject":"u-owner","user_agent":"Firefox"}},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_REUSED","factor":"passkey","factor_id":"a80620b9f6da5382","flags":["redeemed_before"],"ip":"192.0.2.7","outcome":"denied","policy_version":0,"prompt":"7V8H_ubVn0rCUCOsbzGmmA","purpose":"payroll_ach_transmit","reason":"redeemed_before","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","retention_years":1,"session":"dd17a0cbfceef315af159e2eb460a9f5","severity":"critical","subject":"u-owner","subject_name":"owner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(11,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',11,X'31B269315DF38B8EC7975548A7239469AE6F22F4468FA6119F45299C80308230',X'37456C13D9FA26EA1D97EABE589113323BDD98D0C6D9EA6F7696826CFEDB4FA9','w-1','u-cosigner','FACTOR_ENROLLED','success','','',1795521600000000,1795521602000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"FACTOR_ENROLLED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-cosigner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(12,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',12,X'37456C13D9FA26EA1D97EABE589113323BDD98D0C6D9EA6F7696826CFEDB4FA9',X'04F9628752ED7D528F2091B7CB40FF5970DD0C001400C8E86EDBD1FFC891DF97','w-1','u-cosigner','ACCOUNT_STEPUP_CHALLENGE_REQUESTED','pending','webhook_secret_rotation','N9DrVfXBkD27Y2P0DK1ypg',1795521600000000,1795521602000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_CHALLENGE_REQUESTED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"pending","policy_version":0,"prompt":"N9DrVfXBkD27Y2P0DK1ypg","purpose":"webhook_secret_rotation","reason":"","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"any","retention_years":1,"session":"0c8184f3bcd21af65f9a83c03a533110","severity":"info","subject":"u-cosigner","subject_name":"cosigner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(13,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',13,X'04F9628752ED7D528F2091B7CB40FF5970DD0C001400C8E86EDBD1FFC891DF97',X'71B6F2D3D0173A7CCB54FC1960CF4F9522666A0E26BA440511218FC3F090796A','w-1','u-cosigner','ACCOUNT_STEPUP_BLOCKED','denied','webhook_secret_rotation','',1795521600000000,1795521602000000,'{"at":"2026-11-24T12:00:00Z","data":{"also_refused_before":0},"details":[["Run","2026-06"],["Employees","214"]],"event":"ACCOUNT_STEPUP_BLOCKED","factor":null,"factor_id":"","flags":[],"ip":"192.0.2.7","outcome":"denied","policy_version":null,"prompt":"","purpose":"webhook_secret_rotation","reason":"rate_limited","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":null,"retention_years":1,"session":"0c8184f3bcd21af65f9a83c03a533110","severity":"warning","subject":"u-cosigner","subject_name":"cosigner@axis.example","user_agent":"Firefox","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(14,'d3110ce05fc3bb1a42528181c1a0ac5b/P1Y',14,X'71B6F2D3D0173A7CCB54FC1960CF4F9522666A0E26BA440511218FC3F090796A',X'5F906165C1D87F26888C43608E6606F460B8BE5472DDD7B3812C95E54991EC2E','w-1','u-owner','POLICY_CHANGED','success','webhook_secret_rotation','',1795521600000000,1795521602000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"webhook_secret_rotation","reason":"","request":null,"requirement":null,"retention_years":1,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
INSERT INTO "audit" VALUES(15,'d3110ce05fc3bb1a42528181c1a0ac5b/P10Y',1,X'0000000000000000000000000000000000000000000000000000000000000000',X'881D11E50691A79BBA370E4899BCEF0FCB13F7B5B1322967ECFF43E977CFEACB','w-1','u-owner','POLICY_CHANGED','success','','',1795521600000000,1795521602000000,'{"at":"2026-11-24T12:00:00Z","data":{},"details":[],"event":"POLICY_CHANGED","factor":null,"factor_id":"","flags":[],"ip":"","outcome":"success","policy_version":null,"prompt":"","purpose":"","reason":"","request":null,"requirement":null,"retention_years":10,"session":"","severity":"info","subject":"u-owner","subject_name":"","user_agent":"","v":1,"workspace":"w-1"}');
CREATE TABLE chain_starts (
    chain TEXT PRIMARY KEY,
    link INTEGER NOT NULL,
    hash BLOB NOT NULL,
    purged_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE enrolments (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    challenge BLOB NOT NULL,
    encrypted_secret BLOB NOT NULL,
    PRIMARY KEY (workspace, subject, session, kind)
) WITHOUT ROWID;
INSERT INTO "enrolments" VALUES('w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','totp','omhcGdZ281EYpyyDKwZuEw',1795522200000000,X'',X'736563726574');
CREATE TABLE factors (
    id TEXT PRIMARY KEY,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('passkey', 'hardware_key', 'totp')),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    credential_id BLOB UNIQUE,
    public_key BLOB,
    algorithm INTEGER,
    sign_count INTEGER,
    backup_eligible INTEGER,
    backed_up INTEGER,
    transports TEXT,                -- a JSON list
    aaguid TEXT,
    user_handle BLOB,
    encrypted_secret BLOB
) WITHOUT ROWID;
INSERT INTO "factors" VALUES('a80620b9f6da5382','w-1','u-owner','passkey','Laptop',1795521600000000,1795521601000000,X'682D46F28AB58F49A7F1D8CA2E85C5D5259060F494B7DAC49DA7AF2FF4AC3F69',X'A50102',-7,0,1,1,'["internal", "hybrid"]','01020304-0102-0304-0102-030401020304',X'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',NULL);
INSERT INTO "factors" VALUES('c0ca008d9fe1653f','w-1','u-cosigner','totp','Phone',1795521600000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'F80E76E8F97B8F9755356268028F7957CBD2BBED0ED647189A47ABABB42B4645704E1BD72E5D9BCF');
CREATE TABLE heads (
    chain TEXT NOT NULL,
    link INTEGER NOT NULL,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    signature BLOB NOT NULL
);
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    database TEXT NOT NULL,         -- random name of this database; its chains are called after it
    epoch INTEGER NOT NULL,         -- prompts and tokens of an earlier epoch are worthless
    batch INTEGER NOT NULL,         -- number of the last committed batch: tells a restored backup
    back INTEGER NOT NULL DEFAULT 0 -- how far the time of a record ever lay before that of an earlier one
, oldest INTEGER NOT NULL DEFAULT 1, purged_at INTEGER NOT NULL DEFAULT 0, hot TEXT NOT NULL DEFAULT '');
INSERT INTO "meta" VALUES(1,'d3110ce05fc3bb1a42528181c1a0ac5b',1,25,2000000,1,0,'');
CREATE TABLE people (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_handle BLOB,
    last_step INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, subject)
) WITHOUT ROWID;
INSERT INTO "people" VALUES('w-1','u-cosigner',NULL,100);
INSERT INTO "people" VALUES('w-1','u-owner',X'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0);
CREATE TABLE policies (
    workspace TEXT NOT NULL,
    purpose TEXT NOT NULL,
    requirement TEXT NOT NULL,
    PRIMARY KEY (workspace, purpose)
) WITHOUT ROWID;
INSERT INTO "policies" VALUES('w-1','webhook_secret_rotation','phishing_resistant');
CREATE TABLE policy_versions (
    workspace TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "policy_versions" VALUES('w-1',1);
CREATE TABLE prompts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'proved', 'cancelled')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL,             -- everything else of the prompt, as JSON
    token INTEGER,                  -- the token that its proof brought
    challenge_nonce BLOB,
    challenge_factors TEXT,         -- a JSON list of factor ids
    challenge_expires_at INTEGER
);
INSERT INTO "prompts" VALUES(1,'n7w3H5NzQtcfy0gOAysbDg',1,'w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','proved',1795521600000000,1795521900000000,'{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["a80620b9f6da5382"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}',1,NULL,NULL,NULL);
INSERT INTO "prompts" VALUES(2,'xV7Iz35HQIj6AAQunIormQ',1,'w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','proved',1795521600000000,1795521900000000,'{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["a80620b9f6da5382"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}',2,NULL,NULL,NULL);
INSERT INTO "prompts" VALUES(3,'7V8H_ubVn0rCUCOsbzGmmA',1,'w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','proved',1795521600000000,1795521900000000,'{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["a80620b9f6da5382"],"factor_kinds":["passkey"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"payroll_ach_transmit","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"phishing_resistant","subject_name":"owner@axis.example","user_agent":"Firefox"}',3,NULL,NULL,NULL);
INSERT INTO "prompts" VALUES(4,'N9DrVfXBkD27Y2P0DK1ypg',1,'w-1','u-cosigner','0c8184f3bcd21af65f9a83c03a533110','open',1795521600000000,1795521900000000,'{"details":[["Run","2026-06"],["Employees","214"]],"factor_ids":["c0ca008d9fe1653f"],"factor_kinds":["totp"],"ip":"192.0.2.7","locale":"en","policy_version":0,"purpose":"webhook_secret_rotation","request":{"body_sha256":null,"method":"POST","path":"/payroll/2026-06/transmit","query":""},"requirement":"any","subject_name":"cosigner@axis.example","user_agent":"Firefox"}',NULL,X'0000000000000000000000000000000000000000000000000000000000000000','["a"]',1795521660000000);
CREATE TABLE refused_sessions (
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    logged_at INTEGER NOT NULL,
    unlogged INTEGER NOT NULL, blocked INTEGER NOT NULL DEFAULT 0, blocked_until INTEGER NOT NULL DEFAULT 0,      -- refusals since then that the log does not tell
    PRIMARY KEY (workspace, subject, session)
) WITHOUT ROWID;
INSERT INTO "refused_sessions" VALUES('w-1','u-cosigner','0c8184f3bcd21af65f9a83c03a533110',1795521600000000,0,0,0);
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,         -- in the order of minting: redemption then walks few pages
    nonce BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('issued', 'redeemed', 'revoked')),
    prompt TEXT NOT NULL,
    workspace TEXT NOT NULL,
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    ip TEXT NOT NULL,
    purpose TEXT NOT NULL,
    requirement TEXT NOT NULL,
    policy_version INTEGER NOT NULL,
    request_digest BLOB NOT NULL,
    details_digest BLOB NOT NULL,
    factor TEXT NOT NULL,
    factor_kind TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    batch INTEGER,                  -- the batch that redeemed it
    attempt BLOB,
    redeemed_at INTEGER,
    redeemed_ip TEXT NOT NULL DEFAULT '',
    redeemed_user_agent TEXT NOT NULL DEFAULT '',
    replays INTEGER NOT NULL DEFAULT 0,
    revoked TEXT NOT NULL DEFAULT '' -- why
);
INSERT INTO "tokens" VALUES(1,X'EC561E34419975BE9FD75B8F3C6F4039',1,'issued','n7w3H5NzQtcfy0gOAysbDg','w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','192.0.2.7','payroll_ach_transmit','phishing_resistant',0,X'1EBEC0F2DC44FF641C7A3298B6E41588269F07420ACD620B2C3FBC84DA352D97',X'17CADF4ACF31CC13140F1498A0D784D246682CD41A6427B2545D6E8CF989EFF7','a80620b9f6da5382','passkey',1795521601000000,1795521661000000,NULL,NULL,NULL,'','',0,'');
INSERT INTO "tokens" VALUES(2,X'B7CFE9D1963061F2E44CED37FD712091',1,'redeemed','xV7Iz35HQIj6AAQunIormQ','w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','192.0.2.7','payroll_ach_transmit','phishing_resistant',0,X'1EBEC0F2DC44FF641C7A3298B6E41588269F07420ACD620B2C3FBC84DA352D97',X'17CADF4ACF31CC13140F1498A0D784D246682CD41A6427B2545D6E8CF989EFF7','a80620b9f6da5382','passkey',1795521601000000,1795521661000000,9,X'43D3DF7D4A345BFA63518874B9C23DE6',1795521602000000,'192.0.2.7','Firefox',0,'');
INSERT INTO "tokens" VALUES(3,X'EC17D342269F7F658A3774E1153C9FFF',1,'redeemed','7V8H_ubVn0rCUCOsbzGmmA','w-1','u-owner','dd17a0cbfceef315af159e2eb460a9f5','192.0.2.7','payroll_ach_transmit','phishing_resistant',0,X'1EBEC0F2DC44FF641C7A3298B6E41588269F07420ACD620B2C3FBC84DA352D97',X'17CADF4ACF31CC13140F1498A0D784D246682CD41A6427B2545D6E8CF989EFF7','a80620b9f6da5382','passkey',1795521601000000,1795521661000000,10,X'03EDF88380241BF82ADD235BA5594153',1795521602000000,'192.0.2.7','Firefox',1,'');
CREATE INDEX prompts_by_session ON prompts (workspace, subject, session);
CREATE TRIGGER tokens_stay_redeemed BEFORE UPDATE OF state ON tokens
WHEN OLD.state <> 'issued' AND NEW.state <> OLD.state
BEGIN
    SELECT RAISE(ABORT, 'a redeemed or revoked token never changes its state');
END;
CREATE INDEX factors_by_person ON factors (workspace, subject);
CREATE UNIQUE INDEX audit_chain ON audit (chain, link);
CREATE INDEX audit_high ON audit (high);
CREATE INDEX audit_workspace ON audit (workspace);
CREATE INDEX audit_subject ON audit (workspace, subject);
CREATE INDEX audit_event ON audit (workspace, event);
CREATE INDEX audit_outcome ON audit (workspace, outcome);
CREATE INDEX audit_purpose ON audit (workspace, purpose);
CREATE INDEX audit_prompt ON audit (prompt) WHERE prompt <> '';
CREATE INDEX heads_of_chain ON heads (chain, link);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_only_purged BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM chain_starts AS s WHERE s.chain = OLD.chain AND OLD.link <= s.link)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER chain_starts_only_advance BEFORE UPDATE ON chain_starts
WHEN NEW.chain <> OLD.chain OR NEW.link <= OLD.link
BEGIN
    SELECT RAISE(ABORT, 'a chain start only advances');
END;
CREATE TRIGGER chain_starts_stay BEFORE DELETE ON chain_starts
BEGIN
    SELECT RAISE(ABORT, 'a chain start only advances');
END;
CREATE TRIGGER audit_alerts AFTER INSERT ON audit
WHEN NEW.event = 'ACCOUNT_STEPUP_REUSED' AND instr(NEW.body, '"data":{"count":1,')
BEGIN
    INSERT INTO alerts (seq, at, held_until, had) VALUES (NEW.seq, NEW.at, NEW.at + 60000000, '[]');
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',15);
COMMIT;
