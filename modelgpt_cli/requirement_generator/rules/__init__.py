"""A small grammar of bounds beside key words, and of class lists: what a sentence says where it says it plainly."""
