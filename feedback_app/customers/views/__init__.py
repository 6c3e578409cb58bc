"""The customers' web pages: subscribing, the preference centre, unsubscribing, changing an address.

Pages show on GET and act on POST. The rules are in `customers`, not here.
"""
