"""The commands of ``python -m train``, one module each; printing happens only here."""
