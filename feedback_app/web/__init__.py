"""What web pages share: the app's class and state, headers, errors, rate limits, forms, the built site under `serve`.

Pages and rules of the shop live in the packages above.
"""
