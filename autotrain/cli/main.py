"""The command line: `autotrain COMMAND`.

    exit codes: 0 done · 1 bug · 2 user error · 3 no trial succeeded · 130 interrupted

To add a command, write its file and add it to `COMMANDS`. Commands import heavy libraries only when
they run, so that `--help` answers at once.
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
from autotrain.cli.doctor import doctor
from autotrain.cli.evaluate import evaluate
from autotrain.cli.export import export
from autotrain.cli.failures import error_text, system_error_text
from autotrain.cli.predict import predict
from autotrain.cli.printing import say
from autotrain.cli.replay import replay
from autotrain.cli.report import report
from autotrain.cli.resume import resume
from autotrain.cli.search import search
from autotrain.cli.show import show
from autotrain.cli.spaces import spaces
from autotrain.cli.train import train
from autotrain.errors import AutotrainError

STARTED_S = time.monotonic() - time.process_time()
"""Start of the command, including the interpreter and imports; time limits count from here."""
EXIT_BUG = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
COMMANDS = (
    *(search, train, resume, show, report, dashboard, export, predict, evaluate, replay),
    *(doctor, spaces),
)


class Commands(click.Group):
    """Commands in the order of use; for an unknown command the nearest one is suggested."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or fail with the nearest one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command {args[0]!r}.{hint} Known: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: put  eval "$(_AUTOTRAIN_COMPLETE=bash_source autotrain)"  '
    "into ~/.bashrc (for zsh: zsh_source and ~/.zshrc).",
)
@click.version_option(None, "--version", package_name="autotrain", message="autotrain %(version)s")
@click.pass_context
def autotrain(ctx: click.Context) -> None:
    """Search for, train and export the best neural network for a table.

    Start with:  autotrain search DATA --target COLUMN
    """
    ctx.obj = STARTED_S


for _command in COMMANDS:
    autotrain.add_command(_command)


def main() -> int:
    """Run a command and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A character that the terminal cannot show must not end a search.
            stream.reconfigure(errors="replace")
    # The garbage collection at exit takes a second with torch loaded, so skip it.
    atexit.register(gc.freeze)
    # SIGTERM is handled as Ctrl-C, so that everything is saved.
    signal.signal(signal.SIGTERM, _terminate)
    # So is a closed terminal, unless `nohup` ignores it. Windows has no such signal.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:
        signal.signal(hangup, _terminate)
    try:
        code = autotrain.main(prog_name="autotrain", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        say(shown.getvalue(), err=True, nl=False)
        return EXIT_USER
    except AutotrainError as error:
        say("\n".join([f"Error: {error_text(error)}", *getattr(error, "__notes__", ())]), err=True)
        return EXIT_USER
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has stopped. Without this, closing stdout would fail again.
        sys.stdout = None
        return 0
    except Exception as error:
        text = system_error_text(error)
        if text is not None:
            # Without this, Python would try to write the buffered output again at exit.
            sys.stdout = None
            say(f"Error: {text}", err=True)
            return EXIT_USER
        say(traceback.format_exc(), err=True, nl=False)
        say(_bug_text(), err=True)
        return EXIT_BUG
    return code if isinstance(code, int) else 0


def _terminate(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def _bug_text() -> str:
    version = importlib.metadata.version("autotrain")
    return (
        "\nThis is a bug in autotrain. Please report it with the command and the lines above."
        f"\nautotrain {version}, Python {platform.python_version()}, "
        f"{platform.platform()}"
    )


if __name__ == "__main__":
    sys.exit(main())
