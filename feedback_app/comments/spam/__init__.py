"""What makes a comment wait for the owner: the checks of its form, its words, and a spam service if the shop chose one.

Only judges. Keeping the comment is `comments.posting`'s job.
"""
