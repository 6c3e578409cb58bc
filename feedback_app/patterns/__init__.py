"""What reads as an e-mail address, in which encodings. The gate, comments, names and posts ask; imports nothing."""
