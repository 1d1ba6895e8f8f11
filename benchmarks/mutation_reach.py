"""Which places of a source text a run goes by, to the column: what no run goes by can't be judged by running."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.mutants import Span

# The spans of instructions, by the name of their file.
Places = dict[str, set[Span]]


@contextmanager
def traced(folder: Path) -> Iterator[Places]:
    """Inside, what runs in the files of the folder is added to what this yields."""
    gone_by: Places = {path.name: set() for path in folder.glob("*.py")}
    seen: set[tuple[CodeType, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if Path(code.co_filename).parent != folder:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and (code, frame.f_lasti) not in seen:
            seen.add((code, frame.f_lasti))
            gone_by[Path(code.co_filename).name].add(spans_of(code)[frame.f_lasti // 2])
        return trace

    sys.settrace(trace)
    try:
        yield gone_by
    finally:
        sys.settrace(None)


def spans_of(code: CodeType) -> list[Span]:
    """The span of each instruction; all zeros for those that stand nowhere in the text."""
    return [(line or 0, column or 0, last or 0, end or 0) for line, last, column, end in code.co_positions()]


def all_spans(code: CodeType) -> set[Span]:
    """Those of all instructions, also of the functions and classes inside."""
    inside = (all_spans(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(spans_of(code)).union(*inside)


def is_reached(span: Span, instructions: set[Span], gone_by: set[Span]) -> bool:
    """Whether a run has gone by an instruction inside the span; where there is none inside, by the innermost around it."""
    inside = {each for each in instructions if within(each, span)}
    if not inside:
        around = [each for each in instructions if within(span, each)]
        inside = {each for each in around if not any(within(other, each) and other != each for other in around)}
    return not inside.isdisjoint(gone_by)


def within(inner: Span, outer: Span) -> bool:
    return outer[:2] <= inner[:2] and inner[2:] <= outer[2:]
