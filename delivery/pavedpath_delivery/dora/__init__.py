"""`pavedpath dora`: the four figures of software delivery, from what was deployed."""
