"""What tenant code finds in `self.env`, one binding per file. `binding.py` says what a binding is."""
