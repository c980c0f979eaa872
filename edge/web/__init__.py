"""`fer-edge serve`'s local web page: the stream's newest reading to a few browsers, and still pictures back.

The stream stays in the main thread, as in `fer-edge camera`; one thread more runs aiohttp (the extra `serve`). Between
the two lies a slot of one (`edge.web.hub`), so that no viewer can slow the stream down or make a queue grow.
"""
