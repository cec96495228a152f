-- A page of pseudonyms into the subject map, each customer named by its handle. A customer who has rows under older
-- keys stays the same person; a row that another run has put in by now stays as it is.
MERGE `{{ subject_map }}` AS subject
USING (
  WITH pseudonym AS (
    SELECT
      handle,
      subject_key
    FROM UNNEST(@handles) AS handle WITH OFFSET AS handle_place
    INNER JOIN UNNEST(@subject_keys) AS subject_key WITH OFFSET AS key_place ON handle_place = key_place
  )
  SELECT
    waiting.customer_id,
    pseudonym.subject_key,
    COALESCE(MIN(earlier.person_key), pseudonym.subject_key) AS person_key
  FROM `{{ worklist }}` AS waiting
  INNER JOIN pseudonym ON waiting.handle = pseudonym.handle
  LEFT JOIN `{{ subject_map }}` AS earlier ON waiting.customer_id = earlier.customer_id
  GROUP BY waiting.customer_id, pseudonym.subject_key
) AS customer
ON subject.customer_id = customer.customer_id AND subject.subject_key_id = @subject_key_id
WHEN NOT MATCHED THEN
  INSERT (customer_id, subject_key, subject_key_id, person_key)
  VALUES (customer.customer_id, customer.subject_key, @subject_key_id, customer.person_key)
