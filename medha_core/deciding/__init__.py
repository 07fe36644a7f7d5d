"""From candidates to the one that may answer: its tier, exchanged values, certainty, the judge."""
