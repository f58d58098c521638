"""The command line: python -m toolchain ensure | table | env | clean."""

import argparse
import shlex
import shutil
import sys

from toolchain import ensure, manifest
from toolchain.report import Reporter, table


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m toolchain", description="The pinned engine, providers and tools.")
    commands = top.add_subparsers(dest="command", required=True)
    make = commands.add_parser("ensure", help="have all of them: from PATH, the cache, the vendor, or a build")
    make.add_argument("--with", dest="extra", action="append", default=[], metavar="NAME", help="an optional one too")
    make.add_argument("--offline", action="store_true", help="do not ask the vendors")
    commands.add_parser("table", help="what is installed, and where it came from")
    commands.add_parser("env", help='print what a shell needs: eval "$(python -m toolchain env)"')
    clean = commands.add_parser("clean", help="remove the checkout's toolchain; the cache stays")
    clean.add_argument("--cache", action="store_true", help="remove the cache as well")
    return top


def run(arguments: list[str]) -> None:
    """Carry out one command."""
    options = parser().parse_args(arguments)
    report, where, cache = Reporter(), ensure.layout(), manifest.cache_directory()
    match options.command:
        case "ensure":
            job = ensure.Ensure(manifest.load(), where, ensure.open_store(cache), report, offline=options.offline)
            job.run(tuple(options.extra))
        case "table":
            rows = ensure.rows(manifest.load(), where)
            report.say(table(rows, ("name", "version", "source", "path")))
        case "env":
            for name, value in where.environment().items():
                report.say(f"export {name}={shlex.quote(value)}")
        case _:
            for directory in (where.root, cache) if options.cache else (where.root,):
                shutil.rmtree(directory, ignore_errors=True)
                report.say(f"removed {directory}")


def main() -> int:
    """Exit codes: 0 done, 1 something cannot be had, 130 interrupted."""
    try:
        run(sys.argv[1:])
    except (manifest.ToolchainError, OSError) as error:  # OSError: a full disk, a cache that is not writable
        print(f"toolchain: {error}", file=sys.stderr)  # noqa: T201 - the one error of this program
        return 1
    except KeyboardInterrupt:
        print("\ntoolchain: interrupted; what is finished is kept", file=sys.stderr)  # noqa: T201 - as above
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
