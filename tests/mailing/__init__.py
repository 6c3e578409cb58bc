"""The mailer: what may leave, what leaves, to whom, and what is known of it afterwards."""
