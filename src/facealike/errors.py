"""The errors that facealike raises, in one tree.

    FacealikeError                  exit code 2
    |-- ImageError                  an image that cannot be used
    |   |-- ImageNotFound           no such file
    |   |-- UnreadableImage         empty, truncated, or not an image
    |   `-- ImageTooLarge           over the limit on bytes or pixels
    |-- VideoError                  a video or camera that cannot be read
    |-- FaceError                   an image without the face that was asked for
    |   |-- NoFaceFound             exit code 3
    |   `-- SeveralFaces            exit code 4 (policy "only")
    |-- DetectorError               a detector file or package that cannot be used
    |-- DataError                   folders of people, pair lists, archives, caches
    |   |-- UnsafeArchive           an archive that would write outside its folder
    |   `-- PeopleOverlap           people of the test set took part in training
    |-- RecipeError                 an invalid training recipe
    |-- TrainingError               a run that cannot start, continue or be resumed
    |-- ModelError                  a model file that cannot be used
    |   |-- MixedModels             embeddings of two models were about to be compared
    |   |-- NotCalibrated           a model without a threshold was asked for a verdict
    |   `-- LicenseRefused          a license that does not allow the stated use
    |-- DownloadError               a file that could not be downloaded intact
    |-- DeviceError                 a requested device that is not there
    |-- ServiceError                the service refused a request, or cannot be reached
    |-- MissingExtra                an optional part of facealike is not installed
    `-- UsageError                  arguments that contradict each other or are out of range

Each message is one sentence: which file, what is wrong, what to do.  The command line prints it without a
traceback and exits with ``exit_code``.
"""

from __future__ import annotations


class FacealikeError(Exception):
    """Base of all errors that a user can cause and fix."""

    exit_code = 2


class ImageError(FacealikeError):
    """An image that cannot be used."""


class ImageNotFound(ImageError):
    """The path leads to no file."""


class UnreadableImage(ImageError):
    """The file is empty, truncated or no image of a supported format."""


class ImageTooLarge(ImageError):
    """The image is over the limit on bytes or pixels."""


class VideoError(FacealikeError):
    """A video or a camera that cannot be read."""


class FaceError(FacealikeError):
    """An image without the requested face."""


class NoFaceFound(FaceError):
    """The detector found no face at all."""

    exit_code = 3


class SeveralFaces(FaceError):
    """There is more than one face under the policy ``only``."""

    exit_code = 4


class DetectorError(FacealikeError):
    """A detector file or package that cannot be used."""


class DataError(FacealikeError):
    """A folder of people, a pair list, an archive or a cache that cannot be used."""


class UnsafeArchive(DataError):
    """An archive with a member that would be written outside the target folder."""


class PeopleOverlap(DataError):
    """People of an evaluation took part in the training of the model."""


class RecipeError(FacealikeError):
    """A recipe with an unknown key, a wrong type or a value out of range."""


class TrainingError(FacealikeError):
    """A training run that cannot start, continue or be resumed."""


class ModelError(FacealikeError):
    """A model file that is missing, damaged or of an unknown version."""


class MixedModels(ModelError):
    """Embeddings of two different models were about to be compared."""


class NotCalibrated(ModelError):
    """A model without a threshold was asked for a verdict."""


class LicenseRefused(ModelError):
    """The license of a model does not allow the stated use."""


class DownloadError(FacealikeError):
    """A file could not be downloaded, or has another SHA-256 than stated."""


class DeviceError(FacealikeError):
    """A device that was requested by name and is not there."""


class ServiceError(FacealikeError):
    """The service refused a request or cannot be reached.

    ``status`` is the HTTP status, None without an answer; ``retry_after`` how many seconds to wait before the
    next attempt, None where waiting does not help.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class MissingExtra(FacealikeError):
    """An optional part is not installed; the message names the extra."""


class UsageError(FacealikeError):
    """Arguments that contradict each other or are out of range."""
