"""Visitors of the app, over its own websocket; `python -m apr_core bench --load` sends them."""
