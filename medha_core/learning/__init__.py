"""What the cache learns: from stored entries, from what is forgotten, from users, from labelled pairs."""
