-- A table that an older library made is keyed by id alone: two tenants could not use the same id.
DO $migration$
DECLARE
    held text;
    columns text;
BEGIN
    SELECT c.conname, string_agg(a.attname, ',' ORDER BY k.place) INTO held, columns
    FROM pg_constraint c
    CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
    WHERE c.conrelid = '{TABLE_TEXT}'::regclass AND c.contype = 'p'
    GROUP BY c.conname;
    IF columns IS DISTINCT FROM 'namespace,id' THEN
        IF held IS NOT NULL THEN
            EXECUTE 'ALTER TABLE ' || '{TABLE_TEXT}' || ' DROP CONSTRAINT ' || quote_ident(held);
        END IF;
        ALTER TABLE {TABLE} ADD PRIMARY KEY (namespace, id);
    END IF;
END
$migration$;
