"""AWS on loopback: moto with a journal, reproducible identifiers, and what moto lacks for this program."""
