"""A model with all that goes with it, in one archive that can be checked offline."""
