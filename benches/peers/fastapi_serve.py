"""Serves fastapi_app on a free port, and says which as the other peers do. One worker: the ratios are per CPU second."""

import socket

import uvicorn

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config("fastapi_app:app", loop="uvloop", http="httptools", access_log=False, log_level="error")
uvicorn.Server(config).run(sockets=[listener])
