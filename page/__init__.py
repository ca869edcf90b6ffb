"""What the page is made of; `app.py` puts it together. `ngan` knows nothing of it."""
