"""The mailer: mailings, letters, deliveries, and the wire."""
