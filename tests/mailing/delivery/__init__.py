"""The worker, the ledger, crashes and full disks."""
