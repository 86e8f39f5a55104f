-- What a role needs that runs the app, and one that purges; whoever migrates owns the schema. Run with psql as
-- the owner, after the first start:  psql -v app=app_role -v purger=purger_role -f grants.sql
-- The app can add to the audit log and read it, and has no right to change or delete a record or a leaf.

GRANT USAGE ON SCHEMA stepup TO :"app", :"purger";
GRANT SELECT ON ALL TABLES IN SCHEMA stepup TO :"app", :"purger";
GRANT SELECT ON ALL SEQUENCES IN SCHEMA stepup TO :"app", :"purger";
GRANT INSERT ON stepup.audit, stepup.leaves, stepup.tiles, stepup.trees, stepup.checkpoints TO :"app";
GRANT UPDATE (refused) ON stepup.audit TO :"app";
GRANT UPDATE (note) ON stepup.checkpoints TO :"app";
GRANT UPDATE ON stepup.tiles, stepup.trees TO :"app";
GRANT UPDATE ON stepup.meta TO :"app";
GRANT INSERT, UPDATE ON stepup.prompts, stepup.refused_sessions, stepup.tokens, stepup.people,
    stepup.factors, stepup.enrolments, stepup.attempts, stepup.policies, stepup.mac_keys, stepup.deliveries TO :"app";
GRANT DELETE ON stepup.factors, stepup.enrolments, stepup.attempts, stepup.deliveries TO :"app";
GRANT INSERT, UPDATE ON stepup.enrolment_passes, stepup.enrolment_rights, stepup.recovery_codes,
    stepup.reset_requests, stepup.known_people, stepup.approvals TO :"app";
GRANT DELETE ON stepup.enrolment_passes, stepup.enrolment_rights, stepup.recovery_codes, stepup.reset_requests TO :"app";

GRANT UPDATE ON stepup.meta TO :"purger";
GRANT DELETE ON stepup.audit, stepup.prompts, stepup.tokens, stepup.refused_sessions, stepup.enrolments,
    stepup.deliveries, stepup.enrolment_passes, stepup.enrolment_rights, stepup.reset_requests,
    stepup.approvals TO :"purger";
