"""Each citizen's tamper-evident log: an RFC 6962 tree of sealed events."""
