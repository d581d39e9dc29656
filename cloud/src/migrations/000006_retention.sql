-- What is known of starts, boots, clocks and changes is forgotten with the reports that it belongs to.

-- Starts below were forgotten. Which of their reports were recorded is not known any more, so nothing of them is taken:
-- once stays once.
ALTER TABLE incarnations ADD COLUMN forgotten_below bigint NOT NULL DEFAULT 0;

-- Nothing in these columns changes with a report, so that the updates of every batch stay within their page.
CREATE INDEX starts_by_age ON starts (first_received_at);
CREATE INDEX boots_by_age ON boots (first_received_at);

-- Every moment that a piece of history bounds came before.
ALTER TABLE clock_history ADD COLUMN closed_at timestamptz(3) NOT NULL DEFAULT now();
CREATE INDEX clock_history_by_age ON clock_history USING brin (closed_at);
