"""``python -m chatgateway`` is the command ``chatgateway``."""

from chatgateway.cli import main

if __name__ == "__main__":
    main()
