"""The embedded store: rows in SQLite, vectors in the native index, files in a directory."""
