-- The version that a head's next one gets.
SELECT COALESCE(MAX(head.version), 0) + 1 AS version
FROM `{{ snapshots }}.head_v1` AS head
WHERE head.head = @head
