"""Images in registries: which tags a push gives, evidence of tests and scans, promotion by digest."""
