"""What tenant code prints, logs and is warned of, and its errors that nobody awaited."""
