"""A person's rights across all packages: export, erasure, evidence of consent, retention."""
