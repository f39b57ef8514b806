"""Certificates, keys and what is trusted, in every form that Node takes."""
