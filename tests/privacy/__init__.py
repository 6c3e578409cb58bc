"""Export, erasure, evidence and retention."""
