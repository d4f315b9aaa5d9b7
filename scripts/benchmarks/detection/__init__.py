"""Detection measured: what is found of a public set by the number of labelled images."""
