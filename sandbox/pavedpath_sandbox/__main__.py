"""``python -m pavedpath_sandbox``: the command line."""

from pavedpath_sandbox.cli import main

if __name__ == "__main__":
    main()
