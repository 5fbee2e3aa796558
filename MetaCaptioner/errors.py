"""The errors that are meant for the user, each with the exit status or the record that it ends in."""

import errno
from enum import StrEnum

_THERE_IS_NONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR})
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "EBUSY", "ENOMEM", "ENOBUFS", "EREMOTEIO", "ENOLCK"),
        *("ENOTCONN", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ESHUTDOWN", "ENETDOWN", "ENETUNREACH"),
        *("ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENOLINK", "ECOMM", "EPROTO"),
    )
)
"""As file systems on networks, and failing disks, answer for a while. Source: errno(3), nfs(5)."""


class ErrorKind(StrEnum):
    """Every way in which a sample can fail: the `kind` of an error record, with what it means and what to do about it.

    The table of them in docs/errors.md is made from this by `python -m script.page_tables`. Records of other versions
    may have kinds that are none of these; those are counted and shown as they are.
    """

    _value_: str
    meaning: str
    advice: str

    def __new__(cls, kind: str, meaning: str, advice: str) -> "ErrorKind":
        """A text to all that reads or writes it."""
        member = str.__new__(cls, kind)
        member._value_, member.meaning, member.advice = kind, meaning, advice
        return member

    MEDIA_MISSING = "media_missing", "no such file", "check `root` and the row"
    MEDIA_UNREADABLE = (
        "media_unreadable",
        "it cannot be read: the disk or file server fails (tried again for some seconds), or rights are missing",
        "mend that, then `--retry-errors`",
    )
    MEDIA_CORRUPT = (
        "media_corrupt",
        "empty, cut off, damaged, not what its name says (a web page saved as .jpg, a video without frames, one that "
        "ends clearly before its header says), or with nothing to see (all values missing, every pixel transparent)",
        "fetch it again; a format that is not read is named: write it as PNG",
    )
    MEDIA_OUTSIDE_ROOT = (
        "media_outside_root",
        "the row's name, or a link, leads out of `root`, so nothing was read",
        "name a root that it is below, or say `--allow-outside-root` (with `--retry-errors` for what has failed)",
    )
    MEDIA_TOO_LARGE = (
        "media_too_large",
        "over `--max-source-pixels`, or it would take more memory to decode than `--decode-memory`, or took more than "
        "its header promises: it may be a decompression bomb",
        "shrink it, or raise the limit that the message names",
    )
    MEDIA_TOO_SLOW = (
        "media_too_slow",
        "took over `--decode-seconds`, or far more processor time than a file of its size should",
        "look at the file; if it is sound, write it anew",
    )
    MEDIA_BAD_SHAPE = "media_bad_shape", "one side is over 200 times the other", "crop it"
    BAD_ROW = (
        "bad_row",
        "the row names several media, both kinds, or what is no file name (such as base64 text), or its `task` is no "
        "domain",
        "mend the field that the message names",
    )
    NO_MEDIA = (
        "no_media",
        "the row names neither image nor video, such as one of text alone: no fault",
        "nothing",
    )
    PROMPT_TOO_LONG = (
        "prompt_too_long",
        "prompt and media are more than the model may be given",
        "raise `--max-model-len`, or lower `--max-pixels` or `--video-frames`",
    )
    EMPTY_OUTPUT = (
        "empty_output",
        "an agent answered nothing, twice",
        "try `--retry-errors`, or another temperature; more `max_tokens` where the model reasons",
    )
    DEGENERATE_OUTPUT = (
        "degenerate_output",
        "an agent repeated itself (the same words or signs again and again), twice",
        "try `--retry-errors`, or another temperature",
    )
    BAD_ANSWER = (
        "bad_answer",
        "an agent's answer is no value that fits its `schema` (it was cut at its budget, or breaks a rule), twice",
        "raise the agent's `max_tokens` where it was cut, make its `schema` simpler, or take another model",
    )
    REFUSED = (
        "refused",
        "an agent or the judge refused to answer (it began as `refusals.yaml` lists), twice",
        "look at the media; other words in the prompt, or take another model; where it was no refusal, take the phrase "
        "out of a `refusals.yaml` of your own (`--prompts-dir`), then `--retry-errors`",
    )
    UNSUPPORTED = (
        "unsupported",
        "with `--claims drop`: the model supports no sentence of its caption, twice",
        "look at the media; take another model, or `--claims check`",
    )
    BAD_ROUTE = (
        "bad_route",
        "the router's answer could not be used",
        "say the row's `task`, or take another model",
    )
    BAD_VERDICT = (
        "bad_verdict",
        "the judge's answer could not be used",
        "raise `max_tokens` in `judge.yaml` where it was cut, or take another model",
    )
    BAD_SOURCE = (
        "bad_source",
        "of a second pass: the earlier caption failed, or lacks a text that the prompts use",
        "mend the first pass, run again",
    )
    MEDIA_CHANGED = (
        "media_changed",
        "of a score: the file is another by now than the caption was made from",
        "put it back, or caption it under another name",
    )
    UNSUPPORTED_MEDIA = (
        "unsupported_media",
        "the model takes no videos (or no images)",
        "take one that does",
    )
    ENGINE_CRASH = (
        "engine_crash",
        "the engine or its worker died, or hung, three times with this sample in flight, at last alone",
        "look at the media",
    )
    ENGINE_ERROR = (
        "engine_error",
        "the engine refused this one request, or ended it early",
        "see the message",
    )
    UNEXPECTED = "unexpected", "something unforeseen", "see the message"

    @property
    def is_known_beforehand(self) -> bool:
        """Whether it is known before any media are opened; it says nothing of how a run goes."""
        return self in (ErrorKind.BAD_ROW, ErrorKind.NO_MEDIA, ErrorKind.BAD_SOURCE)

    @property
    def is_worth_another_try(self) -> bool:
        """Whether the model may do better at once, if it is asked the same again."""
        return self in _WORTH_ANOTHER_TRY


_WORTH_ANOTHER_TRY = frozenset(
    (
        *(ErrorKind.EMPTY_OUTPUT, ErrorKind.DEGENERATE_OUTPUT, ErrorKind.BAD_ANSWER, ErrorKind.REFUSED),
        ErrorKind.UNSUPPORTED,
    )
)


class UserError(Exception):
    """The run cannot be done; the message is the one line that says why. Exit status 1."""

    exit_status = 1


class ResultError(UserError):
    """A result file cannot be written or read; what it holds is kept."""


class BadArguments(UserError):
    """The command line is wrong. Exit status 2."""

    exit_status = 2


class StoppedEarly(UserError):
    """A signal ended the run; the same command goes on where it stopped. Exit status 3."""

    exit_status = 3


class EngineDead(UserError):
    """The engine is gone, and this process with it: another worker goes on.

    Exit status 4, which only the supervisor sees.
    """

    exit_status = 4


class WorkerFailed(UserError):
    """What nobody foresaw has ended this process, a worker: what it was is above. Another worker goes on.

    Exit status 5, which only the supervisor sees: 1, by which Python itself ends then, is for what the user must mend.
    """

    exit_status = 5


class OutOfFiles(UserError):
    """This process may open no more files: no fault of the sample that was next."""


class SampleError(Exception):
    """One sample cannot be done. It ends as an error record `{"kind": …, "message": …}`."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> "tuple[type[SampleError], tuple[ErrorKind, str]]":
        """It must reach the rank from helper processes."""
        return type(self), (self.kind, self.message)


class DecodeError(Exception):
    """There is nothing to see, and why, without the file's name; `kind` is that of the error record."""

    def __init__(self, kind: ErrorKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class PassingError(SampleError):
    """One that may be gone in a moment, such as a server that does not answer: worth another try in the same run."""


def cannot_be_read(error: OSError, what: str) -> Exception:
    """What an error of the operating system means for the sample whose media `what` are; to be raised.

    Returns:
        A `SampleError` of the kind `media_missing` or `media_unreadable`, or `OutOfFiles`.
    """
    reason = f"{what}: cannot be read: {error.strerror or error}"
    if error.errno in _NO_MORE_FILES:
        return OutOfFiles(f"{reason}; allow this process more of them (ulimit -n), or give it fewer --decode-threads")
    if error.errno in _THERE_IS_NONE:
        return SampleError(ErrorKind.MEDIA_MISSING, reason)
    return (PassingError if error.errno in _PASSING else SampleError)(ErrorKind.MEDIA_UNREADABLE, reason)
