"""One module a page: it reads what the page shows, under the reader's own Permit, and hands it to a template."""
