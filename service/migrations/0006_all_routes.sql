-- What the routes beyond the first four read and write. Rows that are there already are counted in, so that a database of an
-- earlier release goes on.

ALTER TABLE portfolio_shards
    ADD COLUMN vehicles bigint NOT NULL DEFAULT 0,
    ADD COLUMN policies bigint NOT NULL DEFAULT 0;

UPDATE portfolio_shards total
   SET vehicles = counted.vehicles, policies = counted.policies
  FROM (SELECT v.driver_id % 16 AS shard, count(*) AS vehicles, count(p.id) AS policies
          FROM vehicles v LEFT JOIN policies p ON p.vehicle_id = v.id
         GROUP BY 1) counted
 WHERE total.shard = counted.shard;

-- Claims by where they stand, in the shards of portfolio_shards. Each writing transaction keeps them right.
CREATE TABLE portfolio_claims (
    shard        smallint NOT NULL CONSTRAINT portfolio_claims_shard_known CHECK (shard BETWEEN 0 AND 15),
    status       text     NOT NULL CONSTRAINT portfolio_claims_status_known
                          CHECK (status IN ('open', 'paid', 'rejected')),
    claims       bigint   NOT NULL DEFAULT 0,
    amount_cents bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (shard, status)
) WITH (fillfactor = 20);

INSERT INTO portfolio_claims (shard, status, claims, amount_cents)
SELECT every.shard, every.status, count(c.id), coalesce(sum(c.amount_cents), 0)
  FROM (SELECT shard, status
          FROM generate_series(0, 15) shard, unnest(ARRAY['open', 'paid', 'rejected']) status) every
  LEFT JOIN claims c ON c.driver_id % 16 = every.shard AND c.status = every.status
 GROUP BY every.shard, every.status;

-- What happened: the events of an outbox that was filled by an earlier release were all recorded trips.
ALTER TABLE event_outbox
    ADD COLUMN kind text NOT NULL DEFAULT 'trip_recorded' CONSTRAINT event_outbox_kind_known
                    CHECK (kind IN ('trip_recorded', 'claim_changed', 'driver_updated'));
