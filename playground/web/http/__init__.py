"""HTTP itself: the server and its sockets, who may ask for what, limits, bodies, errors and figures."""
