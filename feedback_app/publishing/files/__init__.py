"""Files on disk: changed sources, writing pages whole or not at all, swapping a site, gzip, fingerprinted assets."""
