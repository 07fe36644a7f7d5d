"""Helpers, under the paths the Medha library gives them."""
