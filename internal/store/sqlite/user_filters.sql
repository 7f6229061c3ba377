-- A list of users by a level or a status that few of them have.
CREATE INDEX user_level ON user (level);
CREATE INDEX user_status ON user (status);
