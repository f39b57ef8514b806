"""
Certificates, keys and what is trusted, in every form that Node takes.

What comes from a peer goes one way: L{txnodetls.pki.der} reads the octets,
L{txnodetls.pki.fields} takes the certificate apart, C{names}, C{x509text},
C{publickeys} and C{objects} know what the parts mean, and C{certificates},
C{x509certificate} and C{identity} give Node's answers.  What comes from the
program, keys, certificates to present and authorities to trust, is read by
C{credentials} and C{trust}.
"""
