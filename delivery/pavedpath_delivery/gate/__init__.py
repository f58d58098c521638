"""`pavedpath gate`: numbers of test and scan results held against a versioned file of rules."""
