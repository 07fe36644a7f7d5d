"""An in-process semantic cache: a question in, the query already written for it out."""

__version__ = "0.1.0"
