"""The HTTP service: faces compared, enrolled and identified for other programs, and a page for people.

``server.serve`` runs it; ``application.make_app`` makes the ASGI application.  Needs ``facealike[serve]``.
"""
