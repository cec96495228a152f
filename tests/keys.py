"""A pseudonym key for tests whose output, such as the splits that the tutorial shows, depends on the key."""

FIXED_KEY = "ThePseudonymKeyOfTheTestsProtectsNobody0880="
