"""What tests are built from: a browser, a database server, mail servers, a shop that runs."""
