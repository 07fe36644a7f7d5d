"""What tokens cost."""


def cost_of(tokens: float, cost_per_1k_tokens: float | None) -> float:
    """US dollars for so many tokens; 0 for a model without a price."""
    return 0.0 if cost_per_1k_tokens is None else tokens / 1000 * cost_per_1k_tokens
