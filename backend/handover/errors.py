"""All errors Handover raises on purpose. Each message says what happened, the value, what was expected,
and what to do next; none of them ever contains a secret or the text of a task."""


class HandoverError(Exception):
    """Base of every error that is raised on purpose. The message is fit for a user's eyes."""


class ConfigError(HandoverError):
    """A setting, a labeling config or a recipe cannot be used as it is."""


class ProtocolError(HandoverError):
    """A request or an answer does not have the shape that the ML backend protocol prescribes."""


class ConversionError(HandoverError):
    """A Label Studio result cannot be read as an annotation of its aspect."""


class TeacherError(HandoverError):
    """The teacher could not be built or reached."""


class TrainingError(HandoverError):
    """A student could not be trained from the examples at hand."""


class ArtifactError(HandoverError):
    """A student's files are missing, incomplete or damaged."""


class LabelStudioError(HandoverError):
    """Label Studio refused a request or could not be reached."""


class NotFoundError(HandoverError):
    """The named project, aspect, task or job is not known."""


class UnavailableError(HandoverError):
    """Redis or the database cannot be reached right now; the same call may work later.

    `what` is for everybody; `detail`, a driver's words in which there may be hosts and users, is for log and terminal.
    """

    def __init__(self, what: str, *, detail: str = "") -> None:
        super().__init__(f"{what.rstrip('.')}: {detail}" if detail else what)
        self.what = what
