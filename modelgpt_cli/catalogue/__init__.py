"""Data that others have: cards of data sets, a search over them, and the way from a card to its data."""
