"""One module for each system's export: reads the file as a stream and yields the records of `records`."""
