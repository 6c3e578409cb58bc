"""Publishing: builds, threads that follow the store, the pages as a browser sees them."""
