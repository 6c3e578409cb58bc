"""What other systems export, a module each: read as a stream, told in the words of `foreign`."""
