"""`python -m jaxrl` is `jaxrl`."""

from jaxrl.runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
