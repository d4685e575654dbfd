"""A whole pod as one file: taking it out (export.py) and bringing it in on another host (load.py); pod_file.py is the form."""
