-- Add the pseudonyms of a run to the subject map. A customer with rows under older keys stays the same person. A row
-- that another run has added in the meantime is not changed.
MERGE `{{ subject_map }}` AS subject
USING (
  SELECT
    pseudonym.customer_id,
    pseudonym.subject_key,
    COALESCE(MIN(earlier.person_key), pseudonym.subject_key) AS person_key
  FROM `{{ pseudonyms }}` AS pseudonym
  LEFT JOIN `{{ subject_map }}` AS earlier ON pseudonym.customer_id = earlier.customer_id
  GROUP BY pseudonym.customer_id, pseudonym.subject_key
) AS customer
ON subject.customer_id = customer.customer_id AND subject.subject_key_id = @subject_key_id
WHEN NOT MATCHED THEN
  INSERT (customer_id, subject_key, subject_key_id, person_key)
  VALUES (customer.customer_id, customer.subject_key, @subject_key_id, customer.person_key)
