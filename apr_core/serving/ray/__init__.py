"""Ray backend: the same searches and evaluations on a cluster.

Ray is an extra (`requirements-cluster.txt`), and nothing outside this room imports it. Its own
messages between machines are pickled, so a cluster belongs on a network of one's own: whoever can
reach Ray's ports can run code there.
"""
