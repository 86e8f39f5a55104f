-- A node tells the schema it was made for in every transaction that writes, so that one of a version that a later
-- migration shut out stops where it is. Such a migration says so:
--     UPDATE stepup.schema_version SET oldest = <the oldest schema whose code still works>
-- One that only adds says nothing, and nodes of the version before go on beside it.

CREATE FUNCTION stepup.check_writer(known_place text, known_seq bigint, known_schema integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF known_schema < (SELECT v.oldest FROM stepup.schema_version AS v) THEN
        RAISE EXCEPTION 'the database was changed by a newer version: upgrade first' USING ERRCODE = 'SU004';
    END IF;
    PERFORM stepup.check_writer(known_place, known_seq);
END
$$;
