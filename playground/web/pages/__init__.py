"""The pages, and what is made for them: templates, highlighted code, pictures."""
