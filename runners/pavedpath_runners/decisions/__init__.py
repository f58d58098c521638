"""What the control plane does about what it sees: pure functions of plain data.

A decision is made on a view (records as they were just read, the configuration, the time) and on what has happened. It
is a `Decision`: changes, which are written all or nothing, then effects, which are carried out after that. What an
effect brought about is what has happened next. Nothing here knows a clock, a network or chance.
"""
