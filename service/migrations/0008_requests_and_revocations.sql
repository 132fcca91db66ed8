-- Trips that were recorded under a key of the client's choice (header Idempotency-Key): a retry finds its trip here. Removed
-- after a day. Without a foreign key: the row is written with the driver's row locked, and drivers are never removed.
CREATE TABLE trip_requests (
    driver_id   bigint      NOT NULL,
    key         text        NOT NULL,
    -- SHA-256 of what was sent: another trip under the same key is a mistake of the client.
    fingerprint bytea       NOT NULL,
    trip_id     uuid        NOT NULL,
    version     bigint      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (driver_id, key)
);

CREATE INDEX trip_requests_age_idx ON trip_requests (created_at);

-- Users whose rights changed: access tokens that were issued before do not count any more. Every replica reads this table every
-- few seconds; a row is removed when no token can be as old.
CREATE TABLE token_revocations (
    username   text        PRIMARY KEY,
    revoked_at timestamptz NOT NULL
);

CREATE FUNCTION revoke_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO token_revocations (username, revoked_at) VALUES (OLD.username, clock_timestamp())
    ON CONFLICT (username) DO UPDATE SET revoked_at = excluded.revoked_at;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_revoke_tokens AFTER UPDATE OF username, password_hash, role, driver_id OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION revoke_tokens();
