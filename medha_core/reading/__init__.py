"""Reading questions and queries: words, values, lexicons. It decides nothing."""
