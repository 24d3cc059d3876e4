"""The pages: one file each, with TITLE, QUESTION, ICON, ORDER and render(scope)."""
