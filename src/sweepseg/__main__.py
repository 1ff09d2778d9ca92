"""The command line as ``python -m sweepseg``."""

from .cli import main

if __name__ == "__main__":
    main()
