-- Return the number of a head's next version.
SELECT COALESCE(MAX(head.version), 0) + 1 AS version
FROM `{{ snapshots }}.head_v1` AS head
WHERE head.head = @head
