"""Scheduled handlers: small, stateless, each in a folder of its own; they import no toolkit."""
