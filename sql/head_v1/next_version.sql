-- Return the number of a head's next version.
SELECT COALESCE(MAX(registered.version), 0) + 1 AS version
FROM `{{ snapshots }}.head_v1` AS registered
WHERE registered.head = @head
