"""A small shop with questions about it: what `medha demo` asks."""
