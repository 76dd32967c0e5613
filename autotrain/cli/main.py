"""The command line: `autotrain COMMAND`. To add a command, write its file and name it below.

    0 done · 1 a bug · 2 the user can mend it · 3 no trial succeeded · 130 interrupted

Commands load what is heavy when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import atexit
import difflib
import gc
import importlib.metadata
import io
import platform
import signal
import sys
import time
import traceback
import types

import click

from autotrain.cli.dashboard import dashboard
from autotrain.cli.evaluate import evaluate
from autotrain.cli.export import export
from autotrain.cli.failures import system_error_words
from autotrain.cli.predict import predict
from autotrain.cli.printing import say
from autotrain.cli.resume import resume
from autotrain.cli.search import search
from autotrain.cli.show import show
from autotrain.cli.spaces import spaces
from autotrain.cli.train import train
from autotrain.errors import AutotrainError

STARTED_S = time.monotonic() - time.process_time()
"""When the command began, interpreter and imports included; time limits count from here."""
EXIT_BUG = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
COMMANDS = (search, train, resume, show, dashboard, export, predict, evaluate, spaces)


class Commands(click.Group):
    """Commands in the order of use, the near one suggested for an unknown one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which was meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command {args[0]!r}.{hint} Known: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion in the shell: put  eval "$(_AUTOTRAIN_COMPLETE=bash_source autotrain)"  '
    "into ~/.bashrc (for zsh: zsh_source and ~/.zshrc).",
)
@click.version_option(None, "--version", package_name="autotrain", message="autotrain %(version)s")
@click.pass_context
def autotrain(ctx: click.Context) -> None:
    """Find, train and hand over the best neural network for a table.

    Begin with:  autotrain search DATA --target COLUMN
    """
    ctx.obj = STARTED_S


for _command in COMMANDS:
    autotrain.add_command(_command)


def main() -> int:
    """Run a command and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that lacks a sign must not end a search.
            stream.reconfigure(errors="replace")
    # Python looks at every object once more when it ends: a second with torch loaded.
    atexit.register(gc.freeze)
    # Who ends a process politely means what Ctrl-C means.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = autotrain.main(prog_name="autotrain", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        say(shown.getvalue(), err=True, nl=False)
        return EXIT_USER
    except AutotrainError as error:
        say("\n".join([f"Error: {error}", *getattr(error, "__notes__", ())]), err=True)
        return EXIT_USER
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has enough. Python would complain when it closes stdout.
        sys.stdout = None
        return 0
    except Exception as error:
        words = system_error_words(error)
        if words is not None:
            # What stdout could not take would be written once more when Python ends.
            sys.stdout = None
            say(f"Error: {words}", err=True)
            return EXIT_USER
        say(traceback.format_exc(), err=True, nl=False)
        say(_bug_words(), err=True)
        return EXIT_BUG
    return code if isinstance(code, int) else 0


def _terminate(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def _bug_words() -> str:
    version = importlib.metadata.version("autotrain")
    return (
        "\nThis is a bug in autotrain, not a mistake of yours: please report it, with the lines "
        f"above and the command.\nautotrain {version}, Python {platform.python_version()}, "
        f"{platform.platform()}"
    )


if __name__ == "__main__":
    sys.exit(main())
