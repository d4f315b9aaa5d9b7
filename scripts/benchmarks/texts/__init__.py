"""Texts: ours and other methods on GLUE and on tasks that meta-training never sees."""
