"""What commands that train share: the check of the gradient before it, and Ctrl-C."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gradcheck import CheckResult
from gradcheck.command import progress_bar
from gradcheck.subject import Advance
from lab.training.settings import Settings


def verified(settings: Settings, verify: Callable[[Advance], CheckResult]) -> bool:
    """Whether no entry of the gradient is wrong: said in a line where it is right, shown as compare.py does where it is not.

    `verify(advance)` checks the gradient of a training with these settings; it calls `advance(n)` after every n entries. With
    `--verify off` it is not called, and a warning says so.
    """
    from gradcheck.report.tables import comparison_summary, network_table, show
    from lab.output.training import verification_sentence

    if settings.verify == "off":
        show("[bold yellow]--verify off: THE GRADIENT IS NOT VERIFIED; nothing says that this backward pass is right[/]")
        return True
    with progress_bar() as bar:
        task = bar.add_task("verifying the gradient", total=None)
        result = verify(lambda entries: bar.advance(task, entries))
    found = result.as_json()
    if result.verdict == "pass":
        show(f"[green]verified:[/] {verification_sentence(found)}")
        return True
    summary = comparison_summary({"verdict": found["verdict"], "seconds": found["seconds"], "networks": [found]})
    show(network_table(found), *summary)
    return result.verdict != "fail"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C (and SIGTERM) inside only make the function that this yields return true; a second Ctrl-C interrupts."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signals = signal.SIGINT, signal.SIGTERM
    previous = [signal.signal(number, receive) for number in signals]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
