"""The API, one file per noun, and the stream."""
