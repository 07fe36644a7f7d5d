"""Contract tests that implementations of our interfaces subclass; they need pytest and pytest-asyncio."""
