"""Entry point of the Pulumi package: the engine runs this directory as a component provider."""

from pavedpath.package import main

if __name__ == "__main__":
    main()
