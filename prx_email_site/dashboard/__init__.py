"""The dashboard: what needs a person (attention), what came and went (chart), and the page of both (views)."""
