"""What web pages share: the app's class and state, headers, errors, rate limits, forms, the site under `serve`."""
