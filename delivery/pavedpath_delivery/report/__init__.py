"""One static page that says what is delivered where, and how well."""
