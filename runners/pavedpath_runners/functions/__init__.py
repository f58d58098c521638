"""What Lambda calls: `webhook`, `launch`, `reconcile` and `interruption`, each with a `handler`."""
