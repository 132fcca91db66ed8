-- Invalidations that were committed with their rows. The writer marks its own as done once the cache has taken it; what a crash
-- or an outage left undone is taken up by the relay of any replica. Done rows are kept for some minutes, because a Redis that
-- was started anew may have lost the newest invalidations, and removed then.
CREATE TABLE cache_outbox (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tags          text[]      NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- Until then another relay is working on it.
    claimed_until timestamptz,
    done_at       timestamptz
);

-- What is left to do: empty nearly always, so that looking costs nothing.
CREATE INDEX cache_outbox_open_idx ON cache_outbox (id) WHERE done_at IS NULL;
-- What may be opened again or removed.
CREATE INDEX cache_outbox_done_idx ON cache_outbox (done_at);
