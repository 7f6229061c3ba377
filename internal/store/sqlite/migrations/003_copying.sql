-- Has a row while the store is the target of a copy that is not finished.
CREATE TABLE copying (mark INTEGER PRIMARY KEY) STRICT;
