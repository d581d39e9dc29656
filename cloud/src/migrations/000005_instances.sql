-- Several instances of the service on one database: who runs, what their clocks say, and whose turn each job is.

-- One row a running process, new at every start. Written by the process itself, by the database's clock.
CREATE TABLE instances (
  instance_id text PRIMARY KEY,
  host text NOT NULL,
  version text NOT NULL,
  started_at timestamptz(3) NOT NULL,
  seen_at timestamptz(3) NOT NULL,
  -- How wrong it says that its clock can be, and where it knows that from.
  clock_error_ms double precision NOT NULL,
  clock_source text NOT NULL CHECK (clock_source IN ('kernel', 'configured')),
  -- Its clock less the database's lay between these when that was measured.
  offset_low_ms double precision NOT NULL,
  offset_high_ms double precision NOT NULL,
  clock_steps integer NOT NULL
) WITH (fillfactor = 70);

-- One row a job that runs once in the fleet at a time. A transaction of the job renews its lease first, so that it
-- holds the row until it commits: nobody takes a lease over while its holder writes, and a holder whose lease ran out
-- or was taken (another fence) writes nothing.
CREATE TABLE leases (
  job text PRIMARY KEY,
  holder text NOT NULL DEFAULT '',
  fence bigint NOT NULL DEFAULT 0,
  until timestamptz NOT NULL DEFAULT '-infinity',
  due_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

-- One row: whose clocks contradict the others' (`database` for the database's own), since when, and when last.
CREATE TABLE clock_watch (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  since timestamptz(3),
  last_at timestamptz(3),
  named text[] NOT NULL DEFAULT '{}'
);
INSERT INTO clock_watch DEFAULT VALUES;
