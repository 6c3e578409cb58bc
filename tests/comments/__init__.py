"""Comments: the gate for their text, posting and deciding, the form, the threads and feeds they make."""
