"""What is connected: the only folder that knows Starlette, uvicorn and websockets."""
