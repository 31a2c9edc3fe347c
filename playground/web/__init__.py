"""The HTTP side: the Starlette app, its routes, the API, the stream and the pages."""
