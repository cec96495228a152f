-- Create the view by which a data scientist reads the snapshot that the name of a dataset means.
CREATE OR REPLACE VIEW `{{ view }}` AS
SELECT *
FROM `{{ snapshot }}`
