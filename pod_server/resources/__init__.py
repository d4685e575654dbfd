"""Resources as the Solid Protocol knows them: containers, RDF sources, other files, their names, versions and seeds."""
