"""Publishing the blog: the builder, the process that keeps the site up to date, and uploading it.

The only package that knows Pelican. Modules at this level are entry points; `plugin` and `masking` are named in shops'
`pelicanconf.py`.
"""
