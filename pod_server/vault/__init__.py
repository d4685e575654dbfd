"""Keys and sealed bytes: slots, keyring, envelopes, inboxes."""
