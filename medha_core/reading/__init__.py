"""Reading questions and queries: words, values, lexicons. Words and contracts for the steps above; no decisions."""
