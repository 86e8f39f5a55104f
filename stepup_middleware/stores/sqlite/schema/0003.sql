-- Adds a column alone: processes of the version before may go on using the database.

ALTER TABLE meta ADD COLUMN hot TEXT NOT NULL DEFAULT '';   -- the one server of hot state that may serve the epoch
