"""Rows: the entries themselves, in SQLite, on disk or in memory."""

from medha_core.rows.recent import RecentRows
from medha_core.rows.row import CollectionRow, Gone, Row, Written, check_space
from medha_core.rows.table import Rows

__all__ = ["CollectionRow", "Gone", "RecentRows", "Row", "Rows", "Written", "check_space"]
