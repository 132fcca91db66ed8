-- Totals that each writing transaction keeps right, so that reads need not add up the raw rows.

-- Per driver: what a score is computed from.
CREATE TABLE driver_exposure (
    driver_id          bigint PRIMARY KEY CONSTRAINT driver_exposure_driver_fkey REFERENCES drivers,
    trips              bigint NOT NULL DEFAULT 0,
    distance_m         bigint NOT NULL DEFAULT 0,
    night_distance_m   bigint NOT NULL DEFAULT 0,
    speeding           bigint NOT NULL DEFAULT 0,
    harsh_braking      bigint NOT NULL DEFAULT 0,
    harsh_acceleration bigint NOT NULL DEFAULT 0,
    harsh_cornering    bigint NOT NULL DEFAULT 0,
    claims             bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- Over all drivers, in 16 shards by driver_id % 16: a write locks the row of its shard until it commits, and one row
-- for everybody would put all writers in a queue. A reader adds up 16 rows.
CREATE TABLE portfolio_shards (
    shard            smallint PRIMARY KEY CONSTRAINT portfolio_shards_known CHECK (shard BETWEEN 0 AND 15),
    drivers          bigint NOT NULL DEFAULT 0,
    active_drivers   bigint NOT NULL DEFAULT 0,
    trips            bigint NOT NULL DEFAULT 0,
    distance_m       bigint NOT NULL DEFAULT 0,
    safety_events    bigint NOT NULL DEFAULT 0,
    scored_drivers   bigint NOT NULL DEFAULT 0,
    points_x100      bigint NOT NULL DEFAULT 0,
    low_drivers      bigint NOT NULL DEFAULT 0,
    moderate_drivers bigint NOT NULL DEFAULT 0,
    high_drivers     bigint NOT NULL DEFAULT 0,
    severe_drivers   bigint NOT NULL DEFAULT 0,
    open_claims      bigint NOT NULL DEFAULT 0,
    incurred_cents   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

INSERT INTO portfolio_shards (shard) SELECT generate_series(0, 15);

-- The same by day (UTC) of the trip's start.
CREATE TABLE portfolio_daily (
    day                date     NOT NULL,
    shard              smallint NOT NULL CONSTRAINT portfolio_daily_shard_known CHECK (shard BETWEEN 0 AND 15),
    trips              bigint   NOT NULL DEFAULT 0,
    distance_m         bigint   NOT NULL DEFAULT 0,
    speeding           bigint   NOT NULL DEFAULT 0,
    harsh_braking      bigint   NOT NULL DEFAULT 0,
    harsh_acceleration bigint   NOT NULL DEFAULT 0,
    harsh_cornering    bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (day, shard)
) WITH (fillfactor = 50);
