"""Tables: ours and other methods on any folder of tables with cards, and what the table generator is made of."""
