"""
C{python -m txnodetls connect}: connect to a server, say who it is and whether to believe it.

 - L{txnodetls.command.connect}: the arguments, the connection, the exit status;
 - L{txnodetls.command.findings}: what is to be known of a connection, as plain values;
 - L{txnodetls.command.report}: those values as text, the chain as a tree;
 - L{txnodetls.command.terminal}: colours, and what must not reach a terminal.
"""
