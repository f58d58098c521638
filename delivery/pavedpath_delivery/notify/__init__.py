"""`pavedpath notify`: tells people and programs what became of a deployment."""
