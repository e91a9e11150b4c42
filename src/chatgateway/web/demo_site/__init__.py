"""A small shop on another site than the gateway's, as a customer has one: its own login, its own token endpoint."""
