-- Which models a key may ask for: names and patterns of names, a space between two; all where there are none.

ALTER TABLE key ADD COLUMN models TEXT NOT NULL DEFAULT '' CHECK (length(models) <= 1023);
