"""Models to folders, hubs and object stores, and back, pinned by hash."""
