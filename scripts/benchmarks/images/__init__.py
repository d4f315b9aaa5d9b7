"""Images: ours and other methods on held-out domains and on sets that meta-training never sees."""
