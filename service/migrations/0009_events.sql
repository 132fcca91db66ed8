-- Events are encoded once, by the writer, and carry an id of their own; the relay passes bytes on. Events that an earlier release left
-- become JSON version 1, whose id is a digest of the bytes for readers, as for messages of that release; the column needs one too.
ALTER TABLE event_outbox
    ADD COLUMN event_id uuid,
    ADD COLUMN schema   text,
    ADD COLUMN body     bytea;

UPDATE event_outbox
   SET event_id = gen_random_uuid(),
       schema = replace(kind, '_', '-') || '/1+json',
       body = convert_to(payload::text, 'UTF8');

ALTER TABLE event_outbox
    ALTER COLUMN event_id SET NOT NULL,
    ALTER COLUMN schema SET NOT NULL,
    ALTER COLUMN body SET NOT NULL,
    ALTER COLUMN kind DROP DEFAULT,
    DROP COLUMN payload,
    DROP CONSTRAINT event_outbox_kind_known,
    ADD CONSTRAINT event_outbox_kind_known CHECK (kind IN ('trip_recorded', 'safety_event', 'risk_changed', 'claim_filed',
                                                           'claim_changed', 'driver_updated'));

-- Events whose effects are committed, written in the transaction of the effects: an event that comes again changes nothing. Rows
-- are removed after some hours. The second index costs next to nothing, because rows are appended in order of time.
CREATE TABLE event_inbox (
    event_id    uuid        PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX event_inbox_age_idx ON event_inbox USING brin (received_at);

-- The life of a topic, as positions of live clients name it. `ends` are the ends of its partitions when a replica last looked: a
-- topic that ends earlier was made anew, and positions of before mean nothing in it.
CREATE TABLE live_streams (
    topic text     PRIMARY KEY,
    epoch bigint   NOT NULL DEFAULT 1,
    ends  bigint[] NOT NULL
);
