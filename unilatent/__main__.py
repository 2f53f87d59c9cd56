"""`python -m unilatent`, the form that torchrun starts."""

from unilatent.cli import main

if __name__ == "__main__":
    main()
